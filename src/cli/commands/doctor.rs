//! `doctor`: what the daemon finds wrong with this host; without one, what can be told of why.

use super::super::exit::{Code, Failure, Result};
use super::super::session::Session;
use super::super::{launch, talk, views};
use super::print_json;
use crate::bus::proxy::{Finding, FindingLevel};

pub(super) async fn run(session: &Session, json: bool) -> Result {
    let (findings, code) = match session.connect().await {
        Ok(mut client) => (client.doctor().await?, Code::Failed),
        Err(failure) if failure.code == Code::Unavailable => (without_daemon(session), Code::Unavailable),
        Err(failure) => return Err(failure),
    };
    if json {
        print_json(&findings)?;
    } else {
        talk::print(&views::findings(&findings, session.talk.color_out))?;
    }
    match findings.iter().any(|finding| finding.level == FindingLevel::Bad) {
        // It stands there already, in more words.
        true => Err(Failure::new(code, "")),
        false => Ok(()),
    }
}

/// What nobody but the daemon knows is left out: its own cgroups and limits are what the rest is about.
fn without_daemon(session: &Session) -> Vec<Finding> {
    let paths = &session.paths;
    let finding = |level, subject: &str, text: String, mend: String| {
        let subject = subject.to_owned();
        Finding { level, subject, text, mend }
    };
    let release = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    let kernel = format!("Linux {}", release.unwrap_or_else(|_| "of unknown release".to_owned()));
    let log = match launch::log_end(paths) {
        Some((log, lines)) => format!("the end of {log}:\n{}", lines.replace("\n", "\n      ").trim_end()),
        None => format!("see {}", paths.log_words()),
    };
    let daemon = match launch::holder_lives(paths) {
        true => (
            "is not answering, though its holder runs".to_owned(),
            format!("see {}; the holder starts a daemon that ended", paths.log_words()),
        ),
        false => (
            format!("not running: nobody listens in {}", paths.runtime.display()),
            format!("to start it: {}", launch::how_to_start(paths)),
        ),
    };
    vec![
        finding(FindingLevel::Good, "kernel", kernel, String::new()),
        finding(FindingLevel::Note, "log", log.replacen('\n', "\n      ", 1), String::new()),
        finding(FindingLevel::Bad, "daemon", daemon.0, daemon.1),
    ]
}
