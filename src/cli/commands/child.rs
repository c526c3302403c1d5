//! `__child`: becomes the person and then the program. What the CLI starts of theirs, it starts through this.
//! Owns: the order in which a process gives its rights up, all of them, before one line of theirs is read.
//! Never: gives anybody more than they have: setuid(2) has the last word.

use std::ffi::CString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{User, initgroups, setgid, setsid, setuid};

use super::super::args::Child;
use super::super::exit::{Failure, Result};

pub(super) fn run(args: &Child) -> Result {
    let [program, rest @ ..] = args.command.as_slice() else {
        return Err(Failure::usage("no program"));
    };
    let mut command = Command::new(program);
    command.args(rest);
    if let Some(name) = &args.user {
        let cannot = |what: &str, error: &dyn std::fmt::Display| {
            Failure::failed(format!("cannot become {name}, who typed this: {what}: {error}"))
        };
        let user = match name.parse::<u32>() {
            Ok(uid) => User::from_uid(uid.into()),
            Err(_) => User::from_name(name),
        };
        let user = user.map_err(|error| cannot("passwd", &error))?.ok_or_else(|| cannot("passwd", &"no such user"))?;
        let known = CString::new(user.name.as_str()).map_err(|error| cannot("its name", &error))?;
        initgroups(&known, user.gid).map_err(|error| cannot("its groups", &error))?;
        setgid(user.gid).map_err(|error| cannot("its group", &error))?;
        setuid(user.uid).map_err(|error| cannot("its uid", &error))?;
        command.env("HOME", &user.dir).env("USER", &user.name).env("LOGNAME", &user.name).env("SHELL", &user.shell);
    }
    // A session of its own: it can be killed with all that it starts, and asks no terminal for anything.
    setsid().map_err(|error| Failure::failed(format!("setsid: {error}")))?;
    // After the change of uid, which clears it.
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|error| Failure::failed(format!("prctl: {error}")))?;
    let error = command.exec();
    Err(Failure::failed(format!("cannot run {}: {error}", program.display())))
}
