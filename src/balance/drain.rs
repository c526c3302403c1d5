//! When a run that gets no new connections may be told to stop.
//! Owns: which of its connections hold it, and when it is worth another look.
//! Never: looks; whoever asks brings what the kernel said.
//!
//! A connection is idle once it has been quiet for a while, nothing on it is unread, unsent or unacknowledged, and the
//! app had the last word. Who had it is told by times, which the kernel keeps in whole ticks. In one tick an app can
//! answer a question, and a client on the same host can ask the next one, so a question that follows on an answer in
//! the same tick looks like one that was answered in that tick. What was acknowledged, and how, tells them apart.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::sys::inet_diag::{Connection, Listener, TcpState, Traffic};

/// An idle connection has been quiet for this long. No less than the 200 ms after which the kernel acknowledges what
/// came in although no answer has come to send the acknowledgement with (TCP_DELACK_MAX).
pub const QUIET: Duration = Duration::from_millis(250);

/// And for this long if it cannot be told who had the last word.
const QUIET_IN_DOUBT: Duration = Duration::from_secs(1);

/// A handshake that was begun with this run is waited for as long as most take. One that takes longer is given to
/// another run when this one closes its listener.
const HANDSHAKES: Duration = Duration::from_millis(50);

const FIRST_LOOK: Duration = Duration::from_millis(5);
const LAST_LOOK: Duration = Duration::from_millis(100);

/// What the kernel said about the sockets of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sockets {
    pub listeners: Vec<Listener>,
    /// Those that its processes have open, to a port that it listens on.
    pub connections: Vec<Held>,
    /// Connections to these ports that are not established. Whose they will be is not known.
    pub handshakes: usize,
}

/// A connection that a run has accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub connection: Connection,
    /// Whether the kernel acknowledges at once what comes in (TCP_QUICKACK). Asked of those that `is_in_doubt` names;
    /// None: not asked, or no answer.
    pub at_once: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Done,
    Wait(Wait),
}

/// What a drain waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wait {
    /// Connections that the run has not accepted yet.
    pub queued: usize,
    pub handshakes: usize,
    /// Connections on which something is going on.
    pub busy: usize,
    /// Connections that become idle if they stay as they are.
    pub quiet_soon: usize,
    /// Before this there is nothing to be seen.
    pub look_in: Duration,
}

/// Cookies of connections that have been idle since the drain began. One that pauses between questions is not waited for
/// twice: many that pause out of step are hardly ever quiet all at once.
pub type Paused = BTreeSet<u64>;

/// `age`: for how long the run has got no new connections.
pub fn verdict(sockets: &Sockets, age: Duration, paused: &mut Paused) -> Verdict {
    if sockets.listeners.is_empty() {
        return Verdict::Done;
    }
    let mut wait = Wait {
        queued: sockets.listeners.iter().map(|listener| listener.queue as usize).sum(),
        handshakes: if age < HANDSHAKES { sockets.handshakes } else { 0 },
        ..Wait::default()
    };
    let mut quiet_in = Duration::ZERO;
    for held in &sockets.connections {
        match activity(held) {
            Activity::Idle => drop(paused.insert(held.connection.cookie)),
            // Its last question is answered.
            Activity::QuietIn { answered: true, .. } if paused.contains(&held.connection.cookie) => {}
            Activity::Busy => wait.busy += 1,
            Activity::QuietIn { span, .. } => {
                wait.quiet_soon += 1;
                quiet_in = quiet_in.max(span);
            }
        }
    }
    if wait == Wait::default() {
        return Verdict::Done;
    }
    // What somebody must act on may be over at any time. What only has to stay quiet is not before the last is.
    let only_quiet = wait.queued + wait.handshakes + wait.busy == 0;
    let look_in = if only_quiet { quiet_in } else { age / 4 };
    wait.look_in = look_in.clamp(FIRST_LOOK, LAST_LOOK);
    Verdict::Wait(wait)
}

/// Whether TCP_QUICKACK would tell what else cannot be told of this connection.
pub fn is_in_doubt(connection: &Connection) -> bool {
    let Some(traffic) = &connection.traffic else { return false };
    let open = matches!(connection.state, TcpState::Established | TcpState::CloseWait);
    open && !is_moving(connection) && quiet(traffic) >= QUIET && last_word(traffic, None) == LastWord::Unclear
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activity {
    Idle,
    /// `answered`: the app had the last word, for sure.
    QuietIn {
        span: Duration,
        answered: bool,
    },
    Busy,
}

fn activity(held: &Held) -> Activity {
    let connection = &held.connection;
    match connection.state {
        // Nothing is left to send, or not yet.
        TcpState::FinWait2 | TcpState::SynRecv => return Activity::Idle,
        TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck => {
            // Our own FIN counts as a byte, but nobody waits for it.
            return if connection.wqueue > 1 { Activity::Busy } else { Activity::Idle };
        }
        TcpState::Established | TcpState::CloseWait if is_moving(connection) => return Activity::Busy,
        TcpState::Established | TcpState::CloseWait => {}
    }
    // A host that does not tell has nothing to judge by; `drain_timeout` bounds this.
    let Some(traffic) = &connection.traffic else { return Activity::Busy };
    let last_word = last_word(traffic, held.at_once);
    let enough = match last_word {
        LastWord::App => QUIET,
        LastWord::Peer => return Activity::Busy,
        // Not asked before it has been quiet for so long.
        LastWord::Unclear if quiet(traffic) < QUIET => QUIET,
        LastWord::Unclear => QUIET_IN_DOUBT,
    };
    match enough.saturating_sub(quiet(traffic)) {
        Duration::ZERO => Activity::Idle,
        span => Activity::QuietIn { span, answered: last_word == LastWord::App },
    }
}

/// Something is unread, unsent or unacknowledged. The peer's FIN counts as a byte, but may stay unread.
fn is_moving(connection: &Connection) -> bool {
    let fin = u32::from(connection.state == TcpState::CloseWait);
    connection.rqueue > fin || connection.wqueue > 0
}

fn quiet(traffic: &Traffic) -> Duration {
    traffic.last_data_sent.min(traffic.last_data_recv)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastWord {
    App,
    Peer,
    Unclear,
}

fn last_word(traffic: &Traffic, at_once: Option<bool>) -> LastWord {
    use std::cmp::Ordering;
    if traffic.data_segs_in == 0 {
        return LastWord::App;
    }
    // What the app has not sent stands as sent at the handshake.
    if traffic.data_segs_out == 0 {
        return LastWord::Peer;
    }
    match traffic.last_data_sent.cmp(&traffic.last_data_recv) {
        Ordering::Less => return LastWord::App,
        Ordering::Greater => return LastWord::Peer,
        // The peer has acknowledged something after it said its last, so there was an answer to that.
        Ordering::Equal if traffic.last_ack_recv < traffic.last_data_recv => return LastWord::App,
        Ordering::Equal => {}
    }
    // A question that is not answered in time gets an acknowledgement without data. The first of a connection gets one
    // in any case, so where there was one at most, every other question was answered in time.
    if traffic.segs_out.wrapping_sub(traffic.data_segs_out) <= 1 {
        return LastWord::App;
    }
    match at_once {
        // The kernel has given up waiting for an answer.
        Some(true) => LastWord::Peer,
        // It waits for answers; but it may not have waited for one to a question of several segments, of which the
        // second is acknowledged at once.
        Some(false) | None => LastWord::Unclear,
    }
}

#[cfg(test)]
#[path = "drain_tests.rs"]
mod tests;
