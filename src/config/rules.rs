//! What cannot be judged of one key alone: rules between keys, and who may set what.
//! Never: reads a value; `resolve` has done that.

use super::listen;
use super::reader::Reader;
use super::resolve::{Authority, Context};
use super::sandbox::check_sandbox;
use super::times::check_times;
use crate::model::spec::{AppSpec, Command, LogFormat, ReadyOn};

pub(super) fn check_authority(r: &mut Reader<'_>, spec: &AppSpec, ctx: &Context<'_>) {
    if ctx.authority == Authority::Root {
        return;
    }
    listen::check_ports(r, spec, ctx);
    let mut refuse = |key: &str, what: &str| {
        if r.has(key) {
            r.fault(key, format!("only root may set {what}"), "leave it out, or have root start the app");
        }
    };
    // Naming oneself changes nothing, and is what a spec that was resolved once before does.
    if Some(spec.identity.user.as_str()) != ctx.default_user {
        refuse("user", "another user");
    }
    refuse("group", "this");
    refuse("groups", "this");
    if !spec.process.capabilities.is_empty() {
        refuse("capabilities", "this");
    }
    if !spec.process.no_new_privs {
        refuse("no_new_privs", "this to false");
    }
    if spec.process.nice.is_some_and(|nice| nice < 0) {
        refuse("nice", "this below 0");
    }
    if spec.process.oom_score_adj < 0 {
        refuse("oom_score_adj", "this below 0");
    }
}

/// Rules between keys. Each is a fault of the key that a person would change.
pub(super) fn check_together(r: &mut Reader<'_>, spec: &AppSpec) {
    let limits = &spec.limits;
    if let (Some(soft), Some(hard)) = (limits.max_memory_restart, limits.memory_max)
        && soft >= hard
    {
        let problem = format!("{soft} is not below `memory_max`, {hard}: the kernel would always be first");
        r.fault("max_memory_restart", problem, "make it smaller, or leave one of the two out");
    }
    if limits.memory_swap_max.is_some() && limits.memory_max.is_none() {
        r.fault("memory_swap_max", "has no meaning without `memory_max`", "set `memory_max` too");
    }
    if spec.ready_on == ReadyOn::Message && !spec.runs_node() {
        let Command { program, .. } = &spec.command;
        r.fault(
            "ready_on",
            format!("{program} has no process.send()"),
            "\"message\" is for node and bun; use \"notify\" or \"listen\"",
        );
    }
    if spec.env.contains_key(&spec.instance_var) {
        let problem = format!("{} is set in `env`, too", spec.instance_var);
        r.fault("instance_var", problem, "leave one of the two out");
    }
    if let Some(name) = &spec.increment_var {
        if *name == spec.instance_var {
            let problem = format!("{name} holds the number of the instance already (`instance_var`)");
            r.fault("increment_var", problem, "leave it out");
        } else if spec.env.get(name).is_some_and(|first| first.parse::<i64>().is_err()) {
            let problem = format!("{name} is no whole number in `env`, so nothing can be added to it");
            r.fault("increment_var", problem, "give it a number to begin with, as \"3000\"");
        }
    }
    listen::check_readiness(r, spec);
    check_sandbox(r, spec);
    check_times(r, spec);
    if spec.exp_backoff_restart_delay.is_some() && spec.restart_delay.is_some() {
        let mend = "leave one of the two out";
        r.fault("exp_backoff_restart_delay", "`restart_delay` says that the delay is always the same", mend);
    }
    let log = &spec.log;
    if log.error_file.is_some() && log.format != LogFormat::Raw {
        r.fault(
            "error_file",
            "only `log_format = \"raw\"` has a file for each stream",
            "set that, or use `out_file` alone",
        );
    }
    let elsewhere = match log.format {
        LogFormat::None => "nothing is kept with `log_format = \"none\"`",
        LogFormat::Journal => "with `log_format = \"journal\"` the lines go to the journal",
        LogFormat::Cri | LogFormat::Raw | LogFormat::Json => return,
    };
    if log.out_file.is_some() {
        r.fault("out_file", elsewhere, "leave one of the two out");
    }
}
