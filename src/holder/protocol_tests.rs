//! Properties of the protocol: what is encoded comes back, and no bytes are too strange.
//! Owns: the generators of every message. Never: touches a socket.

use std::ffi::CString;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::holder::failure::STAGES;
use crate::holder::plan::{Instruction, Passed, Plan, Sink, Stage, Step};

fn c_string() -> impl Strategy<Value = CString> {
    vec(1..=255u8, 0..12).prop_map(|bytes| CString::new(bytes).unwrap())
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        c_string().prop_map(Step::EnterCgroup),
        c_string().prop_map(Step::Chdir),
        Just(Step::Setsid),
        Just(Step::NoNewPrivs),
        Just(Step::KeepCaps),
        any::<u32>().prop_map(Step::Umask),
        any::<u32>().prop_map(Step::SetGid),
        any::<u32>().prop_map(Step::SetUid),
        any::<i32>().prop_map(Step::Nice),
        any::<i32>().prop_map(Step::OomScoreAdj),
        any::<u64>().prop_map(Step::Bounding),
        any::<u64>().prop_map(Step::Ambient),
        vec(any::<u32>(), 0..4).prop_map(Step::SetGroups),
        any::<(u32, u64, u64)>().prop_map(|(resource, soft, hard)| Step::Rlimit { resource, soft, hard }),
        any::<(u64, u64, u64)>().prop_map(|(effective, permitted, inheritable)| Step::Capabilities {
            effective,
            permitted,
            inheritable
        }),
        Just(Step::MountNamespace),
        any::<u32>().prop_map(Step::WalkAs),
        c_string().prop_map(Step::Keep),
        c_string().prop_map(Step::PutBack),
        (c_string(), any::<bool>()).prop_map(|(path, must_exist)| Step::ReadOnly { path, must_exist }),
        (c_string(), c_string(), any::<bool>()).prop_map(|(path, options, read_only)| Step::Cover {
            path,
            options,
            read_only
        }),
        vec(any::<(u16, u8, u8, u32)>(), 0..4).prop_map(|program| {
            Step::Seccomp(program.into_iter().map(|(code, jt, jf, k)| Instruction { code, jt, jf, k }).collect())
        }),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let sink = || prop_oneof![Just(Sink::Null), Just(Sink::Pipe)];
    let passed = vec("[a-z]{0,5}".prop_map(Passed::Stored), 0..4);
    (c_string(), vec(c_string(), 0..4), vec(c_string(), 0..4), proptest::option::of(c_string()), vec(step(), 0..6))
        .prop_flat_map(move |(program, args, env, cgroup, steps)| {
            (sink(), sink(), passed.clone(), any::<bool>()).prop_map(move |(stdout, stderr, mut passed, ipc)| {
                let (program, args, env, mut steps) = (program.clone(), args.clone(), env.clone(), steps.clone());
                if ipc {
                    passed.push(Passed::Ipc);
                    steps.push(Step::OwnPid(program.clone()));
                }
                Plan { program, args, env, cgroup: cgroup.clone(), steps, stdout, stderr, passed }
            })
        })
}

fn request() -> impl Strategy<Value = Request> {
    let stream = prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr), Just(Stream::Ipc)];
    prop_oneof![
        (any::<u64>(), plan()).prop_map(|(token, plan)| Request::Spawn { token, plan: Box::new(plan) }),
        any::<(u64, i32)>().prop_map(|(token, signal)| Request::Signal { token, signal }),
        any::<(u64, i32)>().prop_map(|(token, signal)| Request::SignalGroup { token, signal }),
        any::<u64>().prop_map(|token| Request::Reap { token }),
        any::<u64>().prop_map(|token| Request::Forget { token }),
        (any::<u64>(), stream).prop_map(|(token, stream)| Request::DropStream { token, stream }),
        any::<u64>().prop_map(|token| Request::Take { token }),
        Just(Request::Inventory),
        any::<String>().prop_map(|name| Request::Store { name }),
        any::<String>().prop_map(|name| Request::Drop { name }),
        any::<String>().prop_map(|name| Request::Fetch { name }),
        Just(Request::Serving),
        Just(Request::Upgrade),
        Just(Request::Pong),
        Just(Request::Quit),
    ]
}

fn exit() -> impl Strategy<Value = Exit> {
    prop_oneof![
        any::<i32>().prop_map(Exit::Code),
        Just(Exit::Unknown),
        any::<(i32, bool)>().prop_map(|(signal, core_dumped)| Exit::Signal { signal, core_dumped }),
    ]
}

fn fds() -> impl Strategy<Value = Fds> {
    (0..64u8).prop_map(|bits| Fds::from_bits(bits).unwrap())
}

fn row() -> impl Strategy<Value = Row> {
    let state = prop_oneof![
        Just(RowState::Starting),
        Just(RowState::Running),
        exit().prop_map(RowState::Dead),
        exit().prop_map(RowState::Reaped),
    ];
    (any::<u64>(), any::<i32>(), state, fds()).prop_map(|(token, pid, state, fds)| Row { token, pid, state, fds })
}

fn message() -> impl Strategy<Value = Message> {
    let refusal = prop_oneof![
        Just(Refusal::Malformed),
        Just(Refusal::UnknownToken),
        Just(Refusal::TokenTaken),
        Just(Refusal::Alive),
        Just(Refusal::NoFd),
        any::<i32>().prop_map(Refusal::Errno),
    ];
    let failure = (0..STAGES.len() as u8, any::<i32>(), proptest::option::of(0..1000u32))
        .prop_map(|(stage, errno, step)| Failure { stage: Stage::from_u8(stage).unwrap(), errno, step });
    prop_oneof![
        any::<u32>().prop_map(|version| Message::Hello { version }),
        (any::<u64>(), any::<i32>(), fds()).prop_map(|(token, pid, fds)| Message::Spawned { token, pid, fds }),
        (any::<u64>(), failure).prop_map(|(token, failure)| Message::SpawnFailed { token, failure }),
        (any::<u64>(), exit()).prop_map(|(token, exit)| Message::Exited { token, exit }),
        (any::<u64>(), fds()).prop_map(|(token, fds)| Message::Taken { token, fds }),
        (vec(row(), 0..4), vec(any::<String>(), 0..3), any::<bool>())
            .prop_map(|(rows, stored, last)| Message::Inventory { rows, stored, last }),
        any::<(String, bool)>().prop_map(|(name, found)| Message::Fetched { name, found }),
        Just(Message::Terminate),
        Just(Message::Reload),
        Just(Message::Ping),
        (proptest::option::of(0..MAX_TOKEN), refusal).prop_map(|(token, why)| Message::Refused { token, why }),
    ]
}

proptest! {
    #[test]
    fn a_request_comes_back_as_it_was(request in request()) {
        prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
    }

    #[test]
    fn a_message_comes_back_as_it_was(message in message()) {
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn a_message_cut_short_is_an_error(request in request(), message in message(), cut in 1..40usize) {
        let (request, message) = (request.encode(), message.encode());
        prop_assert!(Request::decode(&request[..request.len().saturating_sub(cut)]).is_err());
        prop_assert!(Message::decode(&message[..message.len().saturating_sub(cut)]).is_err());
    }

    #[test]
    fn garbage_is_never_a_panic(bytes in vec(any::<u8>(), 0..200), request in request(), at in any::<usize>(), byte: u8) {
        let _ = (Request::decode(&bytes), Message::decode(&bytes));
        let mut spoilt = request.encode();
        let at = at % spoilt.len();
        spoilt[at] = byte;
        let _ = Request::decode(&spoilt);
    }
}

#[test]
fn a_plan_that_cannot_be_read_is_refused_by_its_token() {
    let plan = Box::new(Plan { steps: vec![Step::Setsid], ..Plan::default() });
    let mut bytes = Request::Spawn { token: 77, plan }.encode();
    let step = bytes.len() - 1 - 2 - 4;
    assert_eq!(bytes[step], Stage::Setsid as u8);
    bytes[step] = 255;
    assert!(Request::decode(&bytes).is_err());
    assert_eq!(Request::token_to_spawn(&bytes), Some(77));
    assert_eq!(Request::token_to_spawn(&Request::Reap { token: 77 }.encode()), None);
    assert_eq!(Request::token_to_spawn(&bytes[..8]), None);
}

#[test]
fn a_count_that_promises_more_than_there_is_allocates_nothing() {
    let mut bytes = vec![6];
    bytes.extend_from_slice(&u32::MAX.to_le_bytes());
    assert!(Message::decode(&bytes).is_err());
}

#[test]
fn fds_that_do_not_match_what_the_message_says_are_an_error() {
    let fd = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    let kinds = Fds { pidfd: true, stderr: true, ..Fds::default() };
    assert!(Ends::sort(kinds, vec![fd()]).is_err());
    assert!(Ends::sort(kinds, vec![fd(), fd(), fd()]).is_err());
    let ends = Ends::sort(kinds, vec![fd(), fd()]).unwrap();
    assert!(ends.pidfd.is_some() && ends.stdout.is_none() && ends.stderr.is_some());
}
