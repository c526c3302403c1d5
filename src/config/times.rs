//! The keys about times by the calendar.
//! Owns: their section of the table, the words for a pattern that is none, and the rules between them and the rest.
//! Never: looks a zone up; whoever knows the host does.

use super::error::{Fault, quoted};
use super::fields as f;
use super::keys::Default::{Derived, Unset};
use super::keys::{Key, Kind, Section};
use super::raw::{Node, Value};
use super::reader::{Read, Reader};
use super::table::key;
use crate::model::spec::{AppSpec, Replace, Restart};
use crate::model::times::{BadPattern, Pattern, Times};

pub(super) const SECTION: Section = Section {
    title: "At which times",
    keys: &[
        key(
            "schedule",
            Kind::Times,
            Unset,
            "A job: it runs at these times, and ends by itself",
            "A pattern as cron has it, or a list of them: `30 2 * * *` is half past two each night. Five fields: minute, \
             hour, day of the month, month, day of the week; or six, the first for seconds; or `@hourly`, `@daily`, \
             `@weekly`, `@monthly`, `@yearly`. A start only registers the job, which then is `waiting`; `stead restart` \
             runs it at once; a stop ends a run and lets none begin. No two runs of it are there at once: a time that \
             comes while one still runs is left out, and said. After a run that fails the next time is waited for, \
             unless `restart = \"on-failure\"`. Settings that change count from the next run on. A time that passes \
             while nobody is there to see it (the daemon is replaced, the host sleeps, its clock is set forward) is \
             made up for once if that is less than an hour ago; one while the host is off, or the app stopped, is not. \
             One that a clock which is set back by less than an hour shows again does not come again. When clocks go \
             forward for summer, the one time of a day that does not exist comes right after the gap; when they go \
             back, it comes once. Patterns for several times of a day follow what the clock shows.",
        ),
        key(
            "cron_restart",
            Kind::Times,
            Unset,
            "It is restarted at these times",
            "A pattern or a list, as in `schedule`, and by the same rules. What runs is replaced as by `stead restart`, \
             but with the settings it has; what has ended by itself is started; what a person has stopped, what is \
             `errored` and what is being replaced already is left alone. If a replacement fails, the others are not \
             tried, and what still runs stays until the next time.",
        ),
        key(
            "time_zone",
            Kind::Text,
            Derived("the host's"),
            "Which clock `schedule` and `cron_restart` go by, as \"Europe/Berlin\"",
            "A new time zone of the host counts from the time after the next.",
        ),
    ],
};

/// Each of them is looked through whenever one has come.
const PATTERNS_MAX: usize = 64;

pub(super) fn times(r: &mut Reader<'_>) -> Times {
    Times {
        cron_restart: r.read("cron_restart", patterns).unwrap_or_default(),
        schedule: r.read("schedule", patterns).unwrap_or_default(),
        time_zone: r.read("time_zone", time_zone),
    }
}

fn patterns(key: &Key, node: &Node) -> Read<Vec<Pattern>> {
    let one;
    let items = match &node.value {
        Value::Str(_) => {
            one = [node.clone()];
            &one
        }
        Value::List(items) if items.is_empty() => return f::fail("no time in the list", "leave the key out for none"),
        Value::List(items) if items.len() > PATTERNS_MAX => {
            return f::fail(format!("{} patterns are too many", items.len()), format!("use at most {PATTERNS_MAX}"));
        }
        Value::List(items) => items.as_slice(),
        _ => return f::wrong_type(key, node),
    };
    f::each(items, |item| match &item.value {
        Value::Str(text) => Pattern::parse(text).map_err(|bad| vec![fault(text, &bad)]),
        other => f::fail(format!("a list of patterns cannot hold {}", other.type_name()), "put it in quotes"),
    })
}

fn fault(text: &str, bad: &BadPattern) -> Fault {
    const FIELDS: &str =
        "minute, hour, day of the month, month, day of the week, and the second before them if it matters";
    let (problem, mend) = match bad {
        BadPattern::Empty => {
            ("is empty".to_owned(), "write it as \"30 2 * * *\" for half past two each night".to_owned())
        }
        BadPattern::Nickname(name) => {
            let mend = "use @hourly, @daily, @weekly, @monthly, @yearly, or five fields as \"0 * * * *\"";
            (format!("there is no {}", quoted(name)), mend.to_owned())
        }
        BadPattern::Fields(found) => {
            (format!("{} has {found} fields, not five or six", quoted(text)), format!("they are {FIELDS}"))
        }
        BadPattern::Field { name, text, holds } => (
            format!("{} is no {name}", quoted(text)),
            format!("it is {holds}; \"*\", \"1,2\", \"1-5\" and \"*/5\" are possible, too"),
        ),
        BadPattern::Never => {
            (format!("{} never comes", quoted(text)), "no month has such a day: choose another".to_owned())
        }
    };
    Fault::new(None, problem, mend)
}

/// What could be the name of a zone. Whether it is one is known where it is looked up.
fn time_zone(key: &Key, node: &Node) -> Read<String> {
    let Value::Str(name) = &node.value else { return f::wrong_type(key, node) };
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '+' | '-');
    if !name.is_empty() && name.len() <= 64 && name.chars().all(legal) && !name.starts_with('/') {
        Ok(name.clone())
    } else {
        f::fail(format!("{} is not the name of a time zone", quoted(name)), "write it as \"Europe/Berlin\" or \"UTC\"")
    }
}

/// What a policy means that is not given: a job that fails waits for its next time.
pub(super) fn default_restart(times: &Times) -> Restart {
    if times.schedule.is_empty() { Restart::Always } else { Restart::Never }
}

pub(super) fn check_times(r: &mut Reader<'_>, spec: &AppSpec) {
    let times = &spec.times;
    if times.time_zone.is_some() && times.patterns().is_empty() {
        r.fault("time_zone", "nothing is done at any time", "set `schedule` or `cron_restart`, too");
    }
    if times.schedule.is_empty() {
        return;
    }
    if !times.cron_restart.is_empty() {
        let mend = "use `schedule` for a job that ends, `cron_restart` for an app that stays";
        r.fault("cron_restart", "an app with `schedule` does not run between its times", mend);
    }
    if spec.restart == Restart::Always {
        let mend = "leave it out, or use \"on-failure\" to have a failed run tried again before its next time";
        r.fault("restart", "a job with `schedule` ends, and would be started again each time", mend);
    }
    if spec.replace == Replace::NewFirst {
        r.fault("replace", "no two runs of a job with `schedule` are there at once", "leave it out");
    }
    if spec.limits.max_memory_restart.is_some() {
        let mend = "use `memory_max`, over which the run fails";
        r.fault("max_memory_restart", "would end a run of the job half-way and begin it again", mend);
    }
}
