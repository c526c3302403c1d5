//! What holds a drain and what does not, on traffic as the kernel accounts for it.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;

const TICK: u64 = 4;
/// After which the kernel acknowledges without an answer, at the least.
const DELAYED_ACK: u64 = 40;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn listening(queue: u32) -> Listener {
    Listener { inode: 1, cookie: 1, address: address(80), queue, backlog: 128, cgroup: None }
}

fn in_state(state: TcpState, traffic: Traffic) -> Connection {
    let (local, remote) = (address(80), address(40_000));
    let traffic = Some(traffic);
    Connection { inode: 2, cookie: 2, local, remote, state, rqueue: 0, wqueue: 0, cgroup: None, traffic }
}

fn sockets(connections: &[Connection]) -> Sockets {
    let connections = connections.iter().map(|connection| Held { connection: *connection, at_once: None }).collect();
    Sockets { listeners: vec![listening(0)], connections, handshakes: 0 }
}

fn wait(connection: Connection) -> Option<Wait> {
    match verdict(&sockets(&[connection]), ms(1000), &mut Paused::new()) {
        Verdict::Done => None,
        Verdict::Wait(wait) => Some(wait),
    }
}

#[track_caller]
fn is_busy(connection: Connection) {
    let wait = wait(connection).expect("it does not hold");
    assert_eq!((wait.busy, wait.quiet_soon), (1, 0), "{connection:?}");
}

#[track_caller]
fn is_quiet_soon(connection: Connection, look_in: Duration) {
    let wait = wait(connection).expect("it does not hold");
    assert_eq!((wait.busy, wait.quiet_soon, wait.look_in), (0, 1, look_in), "{connection:?}");
}

#[track_caller]
fn is_idle(connection: Connection) {
    assert_eq!(wait(connection), None, "{connection:?}");
}

/// One end of a connection, as Linux keeps its accounts. Questions are of one segment.
#[derive(Debug, Clone, Copy, Default)]
struct Kernel {
    now: u64,
    sent: u64,
    recv: u64,
    acked: u64,
    /// When the answer that the peer has not acknowledged was sent.
    unacknowledged: Option<u64>,
    /// When the question came that is not acknowledged yet.
    unanswered: Option<u64>,
    waits_for_answers: bool,
    segs_out: u32,
    questions: u32,
    answers: u32,
}

impl Kernel {
    fn after(mut self, span: u64) -> Self {
        self.now += span;
        if self.unanswered.is_some_and(|at| self.now - at >= DELAYED_ACK) {
            self.unanswered = None;
            self.waits_for_answers = false;
            self.segs_out += 1;
        }
        if let Some(at) = self.unacknowledged.filter(|at| self.now - at >= DELAYED_ACK) {
            self.unacknowledged = None;
            self.acked = at + DELAYED_ACK;
        }
        self
    }

    fn question(mut self) -> Self {
        (self.recv, self.acked, self.unacknowledged) = (self.now, self.now, None);
        self.questions += 1;
        if self.waits_for_answers {
            self.unanswered = Some(self.now);
        } else {
            self.segs_out += 1;
        }
        self
    }

    /// `at_once`: the peer acknowledges it at once.
    fn answer(mut self, at_once: bool) -> Self {
        self.waits_for_answers |= self.now - self.recv < DELAYED_ACK;
        (self.sent, self.unanswered) = (self.now, None);
        self.answers += 1;
        self.segs_out += 1;
        if at_once {
            self.acked = self.now;
        } else {
            self.unacknowledged = Some(self.now);
        }
        self
    }

    fn traffic(&self) -> Traffic {
        let ago = |at: u64| ms((self.now / TICK - at / TICK) * TICK);
        Traffic {
            last_data_sent: ago(self.sent),
            last_data_recv: ago(self.recv),
            last_ack_recv: ago(self.acked),
            unacked: 0,
            bytes_acked: 0,
            bytes_received: self.questions.into(),
            segs_out: self.segs_out,
            data_segs_in: self.questions,
            data_segs_out: self.answers,
        }
    }

    fn connection(&self) -> Connection {
        in_state(TcpState::Established, self.traffic())
    }

    /// As the daemon looks: it asks for TCP_QUICKACK where that is of use.
    fn verdict(&self) -> Verdict {
        let connection = self.connection();
        let at_once = is_in_doubt(&connection).then_some(!self.waits_for_answers);
        let connections = vec![Held { connection, at_once }];
        verdict(&Sockets { connections, ..sockets(&[]) }, ms(1000), &mut Paused::new())
    }
}

#[test]
fn a_question_that_is_worked_on_holds_as_long_as_it_takes() {
    let asked = Kernel::default().after(100).question();
    for span in [0, 250, 5000, 60_000] {
        is_busy(asked.after(span).connection());
    }
    is_busy(Kernel::default().question().after(5000).connection());
}

#[test]
fn a_kept_alive_connection_holds_until_it_was_quiet_for_a_quarter_of_a_second() {
    let answered = Kernel::default().after(100).question().after(8).answer(true);
    is_quiet_soon(answered.connection(), ms(100));
    is_quiet_soon(answered.after(160).connection(), ms(90));
    is_quiet_soon(answered.after(248).connection(), ms(5));
    is_idle(answered.after(252).connection());
    is_idle(answered.after(60_000).connection());
}

#[test]
fn a_connection_on_which_nothing_was_said_may_have_its_question_on_the_way_but_not_for_long() {
    is_quiet_soon(Kernel::default().after(200).connection(), ms(50));
    is_idle(Kernel::default().after(252).connection());
}

#[test]
fn a_stream_holds() {
    let mut stream = Kernel::default().question().after(50).answer(false);
    for _ in 0..100 {
        stream = stream.after(100).answer(false);
        is_quiet_soon(stream.connection(), ms(100));
    }
}

#[test]
fn a_question_in_the_tick_of_the_answer_before_it_is_told_from_one_that_was_answered() {
    let quick = |questions: u64| {
        let ask = |kernel: Kernel, _| kernel.after(1000).question().answer(true);
        (0..questions).fold(Kernel::default(), ask)
    };
    for before in [1, 2, 20] {
        let (answered, asked) = (quick(before), quick(before).question());
        assert_eq!(answered.after(300).verdict(), Verdict::Done);
        let same = answered.after(300).traffic();
        assert_eq!(asked.after(300).traffic().last_data_recv, same.last_data_sent, "not the case in question");
        assert!(matches!(asked.after(300).verdict(), Verdict::Wait(Wait { busy: 1, .. })), "{asked:?}");
        assert!(matches!(asked.after(5000).verdict(), Verdict::Wait(Wait { busy: 1, .. })), "{asked:?}");
    }
}

#[test]
fn what_cannot_be_told_has_to_be_quiet_for_longer() {
    // A slow answer long ago, and no answer from TCP_QUICKACK.
    let slow = Kernel::default().question().after(500).answer(true).after(9000);
    let answered = slow.question().after(60).answer(true).after(9000).question().answer(true);
    let connection = |span| answered.after(span).connection();
    assert!(!is_in_doubt(&connection(240)) && is_in_doubt(&connection(300)));
    is_quiet_soon(connection(300), ms(100));
    is_quiet_soon(connection(980), ms(20));
    is_idle(connection(1000));
}

#[test]
fn what_is_unread_unsent_or_unacknowledged_holds() {
    let quiet = Kernel::default().question().answer(true).after(9000).connection();
    is_idle(quiet);
    is_busy(Connection { rqueue: 1, ..quiet });
    is_busy(Connection { wqueue: 1, ..quiet });
}

#[test]
fn a_peer_that_has_said_fin_holds_only_with_a_question_that_is_not_answered() {
    let answered = Kernel::default().question().answer(true).after(9000).traffic();
    let asked = Kernel::default().after(8).question().after(9000).traffic();
    is_idle(in_state(TcpState::CloseWait, answered));
    is_idle(Connection { rqueue: 1, ..in_state(TcpState::CloseWait, answered) });
    is_busy(Connection { rqueue: 2, ..in_state(TcpState::CloseWait, answered) });
    is_busy(Connection { wqueue: 1, ..in_state(TcpState::CloseWait, answered) });
    is_busy(in_state(TcpState::CloseWait, asked));
}

#[test]
fn a_connection_that_the_app_has_ended_holds_only_while_something_is_unsent() {
    let asked = Kernel::default().after(8).question().traffic();
    for state in [TcpState::FinWait1, TcpState::LastAck, TcpState::Closing] {
        is_idle(Connection { wqueue: 1, rqueue: 1, ..in_state(state, asked) });
        is_busy(Connection { wqueue: 2, ..in_state(state, asked) });
    }
    is_idle(in_state(TcpState::FinWait2, asked));
}

#[test]
fn without_figures_a_connection_holds() {
    let quiet = Kernel::default().question().answer(true).after(9000).connection();
    is_busy(Connection { traffic: None, ..quiet });
}

#[test]
fn the_queue_holds_and_handshakes_do_so_at_first() {
    let queued = Sockets { listeners: vec![listening(2), listening(1)], ..Sockets::default() };
    let look_in = ms(5);
    assert_eq!(
        verdict(&queued, ms(0), &mut Paused::new()),
        Verdict::Wait(Wait { queued: 3, look_in, ..Wait::default() })
    );
    assert!(matches!(verdict(&queued, ms(9000), &mut Paused::new()), Verdict::Wait(_)));
    let handshake = Sockets { listeners: vec![listening(0)], handshakes: 1, ..Sockets::default() };
    let look_in = ms(10);
    assert_eq!(
        verdict(&handshake, ms(40), &mut Paused::new()),
        Verdict::Wait(Wait { handshakes: 1, look_in, ..Wait::default() })
    );
    assert_eq!(verdict(&handshake, ms(50), &mut Paused::new()), Verdict::Done);
}

#[test]
fn a_run_that_does_not_listen_has_nothing_to_wait_for() {
    let busy = Kernel::default().question().connection();
    assert_eq!(
        verdict(&Sockets { listeners: Vec::new(), handshakes: 9, ..sockets(&[busy]) }, ms(0), &mut Paused::new()),
        Verdict::Done
    );
}

fn any_talk() -> impl Strategy<Value = Vec<(u64, u64, bool)>> {
    let pause = || prop_oneof![0..3u64, 0..80u64, 0..3000u64];
    proptest::collection::vec((pause(), pause(), any::<bool>()), 1..12)
}

proptest! {
    #[test]
    fn whatever_was_said_before_an_open_question_holds_and_an_answered_one_does_not(
        talk in any_talk(), open: bool, pause in prop_oneof![0..2u64, 0..500u64], later in 250..20_000u64,
    ) {
        let say = |kernel: Kernel, (think, work, at_once): (u64, u64, bool)| {
            kernel.after(think).question().after(work).answer(at_once)
        };
        let talked = talk.into_iter().fold(Kernel::default(), say);
        if open {
            let asked = talked.after(pause).question();
            for span in [0, 4, 100, later] {
                prop_assert!(matches!(asked.after(span).verdict(), Verdict::Wait(_)), "after {span}: {asked:?}");
            }
        } else {
            prop_assert_eq!(talked.after(1004 + later).verdict(), Verdict::Done);
        }
    }

    #[test]
    fn another_look_comes_soon_enough_and_not_too_soon(
        talks in proptest::collection::vec((any_talk(), 0..1000u64), 0..5), queue in 0..3u32, handshakes in 0..3usize, age in 0..20_000u64,
    ) {
        let say = |kernel: Kernel, (think, work, at_once): (u64, u64, bool)| {
            kernel.after(think).question().after(work).answer(at_once)
        };
        let ends = talks.into_iter().map(|(talk, span)| talk.into_iter().fold(Kernel::default(), say).after(span));
        let connections: Vec<Connection> = ends.map(|kernel| kernel.connection()).collect();
        let sockets = Sockets { listeners: vec![listening(queue)], handshakes, ..sockets(&connections) };
        if let Verdict::Wait(wait) = verdict(&sockets, ms(age), &mut Paused::new()) {
            prop_assert!(wait.look_in >= FIRST_LOOK && wait.look_in <= LAST_LOOK);
            prop_assert!(wait.busy + wait.quiet_soon <= connections.len());
            prop_assert!(wait.queued + wait.handshakes + wait.busy + wait.quiet_soon > 0);
        } else {
            prop_assert_eq!(queue, 0);
        }
    }
}

#[test]
fn a_client_that_paused_once_is_not_waited_for_again_unless_it_has_a_question_open() {
    let mut paused = Paused::new();
    let answered = Kernel::default().after(100).question().after(8).answer(true);
    let (fresh, idle) = (answered.after(20).connection(), answered.after(300).connection());
    let asks = answered.after(20).question().after(20).connection();
    let mut look = |one: Connection, other: Connection| {
        let connections = [Connection { cookie: 1, ..one }, Connection { cookie: 2, ..other }];
        verdict(&sockets(&connections), ms(1000), &mut paused)
    };
    assert!(matches!(look(idle, fresh), Verdict::Wait(Wait { quiet_soon: 1, .. })));
    assert!(matches!(look(asks, idle), Verdict::Wait(Wait { busy: 1, .. })));
    assert_eq!(look(fresh, fresh), Verdict::Done);
}
