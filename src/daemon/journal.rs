//! Life-cycle events as the journal has them.
//! Owns: which message id and priority each has. `units/stead.catalog` explains them by the same ids.

use crate::core::effect::News;
use crate::logs::journal::Kind;
use crate::model::exit::Reason;

/// In this order they are known to a daemon that takes over: new ones go to the end.
pub static KINDS: [Kind; 18] = [
    Kind { name: "started", id: "47eaa0992cb6416da6dc283cf0480ff9", priority: 6 },
    Kind { name: "ready", id: "1509bb0a9bf14331aa118783593942a4", priority: 6 },
    Kind { name: "stopping", id: "f5ec52ed01084475a2e1bc7656670b14", priority: 6 },
    Kind { name: "killing", id: "59ba1b0d5c904158a909406c2e416788", priority: 5 },
    Kind { name: "exited", id: "5d32fe61985f44e7aa095ee82bb29976", priority: 5 },
    Kind { name: "out-of-memory", id: "9a1e40b458154a99a9e2d15364c7a500", priority: 3 },
    Kind { name: "restarting", id: "68b4aef73eaa4e17ad8a4eace693ae2d", priority: 5 },
    Kind { name: "gave-up", id: "142c836478064577a3e783e7eb04b39b", priority: 2 },
    Kind { name: "spawn-failed", id: "3b041641178844f2a60df25453fe2e85", priority: 3 },
    Kind { name: "start-timeout", id: "00a154d85ed84bcca5c719c2add9ca88", priority: 3 },
    Kind { name: "stop-timeout", id: "c0290103855d4f55a9ec8712e8e3574f", priority: 4 },
    Kind { name: "over-memory", id: "6e704245a4ff41e3a7949b80dcb0b82e", priority: 4 },
    Kind { name: "old-first", id: "de1b1471320a48eaa7a788d106762832", priority: 6 },
    Kind { name: "rolled-back", id: "4350cc1721e54f21acd552a09ddbef12", priority: 3 },
    Kind { name: "port-taken", id: "9ed89eddd6844325a600e6129ec04ece", priority: 3 },
    Kind { name: "due", id: "779ed76ac12c44a1acc8418902536524", priority: 6 },
    Kind { name: "time-left-out", id: "fe1ef34efb7449589ed2996659313605", priority: 4 },
    Kind { name: "job-gave-up", id: "964d25a1a0b84b6d83833143d40427c1", priority: 3 },
];

/// The place of what there is to tell in `KINDS`. None: it is not worth an entry.
pub fn kind(news: &News) -> Option<usize> {
    let name = match news {
        News::Moved { .. } => return None,
        News::Started { .. } => "started",
        News::Ready { .. } => "ready",
        News::Stopping { .. } => "stopping",
        News::Killing { .. } => "killing",
        News::Exited { reason: Reason::Oom, .. } => "out-of-memory",
        News::Exited { .. } => "exited",
        News::Restarting { .. } => "restarting",
        News::GaveUp { .. } => "gave-up",
        News::SpawnFailed { .. } => "spawn-failed",
        News::StartTimeout { .. } => "start-timeout",
        News::StopTimeout { .. } => "stop-timeout",
        News::OverMemory { .. } => "over-memory",
        News::OldFirst { .. } => "old-first",
        News::RolledBack { .. } => "rolled-back",
        News::PortTaken { .. } => "port-taken",
        News::Due => "due",
        News::Overlap | News::Missed { .. } => "time-left-out",
        News::GaveUpUntilDue { .. } => "job-gave-up",
    };
    KINDS.iter().position(|kind| kind.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_catalog_explains_every_event_and_nothing_else() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/units/stead.catalog");
        let catalog = std::fs::read_to_string(path).unwrap();
        let explained: BTreeSet<&str> = catalog.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
        assert_eq!(explained, KINDS.iter().map(|kind| kind.id).collect());
        assert!(KINDS.iter().all(|kind| kind.id.len() == 32 && kind.id.bytes().all(|b| b.is_ascii_hexdigit())));
    }

    #[test]
    fn what_went_wrong_weighs_more_than_what_was_asked_for() {
        let exited = |reason| kind(&News::Exited { reason, text: String::new() }).map(|at| KINDS[at].priority);
        assert_eq!((exited(Reason::Oom), exited(Reason::Stopped)), (Some(3), Some(5)));
        assert_eq!(kind(&News::GaveUp { deaths: 3 }).map(|at| KINDS[at].priority), Some(2));
    }
}
