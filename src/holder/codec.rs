//! The protocol's messages as bytes, written by hand: the holder stays without serde.
//! Owns: the numbers on the wire. They are never used again for something else.
//! Never: panics on what it reads, or allocates for what is only promised.

use super::plan::{Failure, Plan, Stage};
use super::protocol::{Exit, Fds, Message, Refusal, Request, Row, RowState, Stream, Token};
use super::wire::{Malformed, Reader, Result, Writer};

impl Request {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Request::Spawn { token, plan } => {
                out.u8(1);
                out.u64(*token);
                plan.write(&mut out);
            }
            Request::Signal { token, signal } => {
                out.u8(2);
                out.u64(*token);
                out.i32(*signal);
            }
            Request::SignalGroup { token, signal } => {
                out.u8(3);
                out.u64(*token);
                out.i32(*signal);
            }
            Request::Reap { token } => {
                out.u8(4);
                out.u64(*token);
            }
            Request::Forget { token } => {
                out.u8(5);
                out.u64(*token);
            }
            Request::DropStream { token, stream } => {
                out.u8(6);
                out.u64(*token);
                out.u8(*stream as u8);
            }
            Request::Take { token } => {
                out.u8(7);
                out.u64(*token);
            }
            Request::Inventory => out.u8(8),
            Request::Store { name } => {
                out.u8(9);
                out.bytes(name.as_bytes());
            }
            Request::Drop { name } => {
                out.u8(10);
                out.bytes(name.as_bytes());
            }
            Request::Fetch { name } => {
                out.u8(11);
                out.bytes(name.as_bytes());
            }
            Request::Serving => out.u8(12),
            Request::Quit => out.u8(13),
            Request::Upgrade => out.u8(14),
            Request::Pong => out.u8(15),
        }
        out.0
    }

    /// Whom a request to spawn is about, though the rest of it says nothing that we understand: a plan of a newer daemon.
    pub(super) fn token_to_spawn(bytes: &[u8]) -> Option<Token> {
        let mut from = Reader(bytes);
        (from.u8().ok()? == 1).then(|| from.u64().ok())?
    }

    pub fn decode(bytes: &[u8]) -> Result<Request> {
        let mut from = Reader(bytes);
        let request = match from.u8()? {
            1 => Request::Spawn { token: from.u64()?, plan: Box::new(Plan::read(&mut from)?) },
            2 => Request::Signal { token: from.u64()?, signal: from.i32()? },
            3 => Request::SignalGroup { token: from.u64()?, signal: from.i32()? },
            4 => Request::Reap { token: from.u64()? },
            5 => Request::Forget { token: from.u64()? },
            6 => {
                let (token, number) = (from.u64()?, from.u8()?);
                let stream = Stream::ALL.get(usize::from(number)).ok_or(Malformed("an unknown stream"))?;
                Request::DropStream { token, stream: *stream }
            }
            7 => Request::Take { token: from.u64()? },
            8 => Request::Inventory,
            9 => Request::Store { name: from.string()? },
            10 => Request::Drop { name: from.string()? },
            11 => Request::Fetch { name: from.string()? },
            12 => Request::Serving,
            13 => Request::Quit,
            14 => Request::Upgrade,
            15 => Request::Pong,
            _ => return Err(Malformed("an unknown kind of request")),
        };
        from.end()?;
        Ok(request)
    }
}

impl Message {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Message::Hello { version } => {
                out.u8(1);
                out.u32(*version);
            }
            Message::Spawned { token, pid, fds } => {
                out.u8(2);
                out.u64(*token);
                out.i32(*pid);
                out.u8(fds.bits());
            }
            Message::SpawnFailed { token, failure } => {
                out.u8(3);
                out.u64(*token);
                out.u8(failure.stage as u8);
                out.i32(failure.errno);
                out.u32(failure.step.unwrap_or(u32::MAX));
            }
            Message::Exited { token, exit } => {
                out.u8(4);
                out.u64(*token);
                write_exit(&mut out, exit);
            }
            Message::Taken { token, fds } => {
                out.u8(5);
                out.u64(*token);
                out.u8(fds.bits());
            }
            Message::Inventory { rows, stored, last } => {
                out.u8(6);
                out.list(rows, write_row);
                out.list(stored, |out, name| out.bytes(name.as_bytes()));
                out.u8((*last).into());
            }
            Message::Fetched { name, found } => {
                out.u8(7);
                out.bytes(name.as_bytes());
                out.u8((*found).into());
            }
            Message::Terminate => out.u8(8),
            Message::Reload => out.u8(9),
            Message::Ping => out.u8(11),
            Message::Refused { token, why } => {
                out.u8(10);
                out.u64(token.unwrap_or(u64::MAX));
                write_refusal(&mut out, *why);
            }
        }
        out.0
    }

    pub fn decode(bytes: &[u8]) -> Result<Message> {
        let mut from = Reader(bytes);
        let message = match from.u8()? {
            1 => Message::Hello { version: from.u32()? },
            2 => Message::Spawned { token: from.u64()?, pid: from.i32()?, fds: Fds::from_bits(from.u8()?)? },
            3 => {
                let token = from.u64()?;
                let (stage, errno) = (Stage::from_u8(from.u8()?)?, from.i32()?);
                let step = Some(from.u32()?).filter(|step| *step != u32::MAX);
                Message::SpawnFailed { token, failure: Failure { stage, errno, step } }
            }
            4 => Message::Exited { token: from.u64()?, exit: read_exit(&mut from)? },
            5 => Message::Taken { token: from.u64()?, fds: Fds::from_bits(from.u8()?)? },
            6 => Message::Inventory {
                rows: from.list(read_row)?,
                stored: from.list(Reader::string)?,
                last: from.flag()?,
            },
            7 => Message::Fetched { name: from.string()?, found: from.flag()? },
            8 => Message::Terminate,
            9 => Message::Reload,
            11 => Message::Ping,
            10 => {
                let token = Some(from.u64()?).filter(|token| *token != u64::MAX);
                Message::Refused { token, why: read_refusal(&mut from)? }
            }
            _ => return Err(Malformed("an unknown kind of message")),
        };
        from.end()?;
        Ok(message)
    }
}

fn write_exit(out: &mut Writer, exit: &Exit) {
    match exit {
        Exit::Code(code) => {
            out.u8(0);
            out.i32(*code);
        }
        Exit::Signal { signal, core_dumped } => {
            out.u8(1 + u8::from(*core_dumped));
            out.i32(*signal);
        }
        Exit::Unknown => {
            out.u8(3);
            out.i32(0);
        }
    }
}

fn read_exit(from: &mut Reader<'_>) -> Result<Exit> {
    match (from.u8()?, from.i32()?) {
        (0, code) => Ok(Exit::Code(code)),
        (kind @ 1..=2, signal) => Ok(Exit::Signal { signal, core_dumped: kind == 2 }),
        (3, 0) => Ok(Exit::Unknown),
        _ => Err(Malformed("an unknown kind of exit")),
    }
}

fn write_row(out: &mut Writer, row: &Row) {
    out.u64(row.token);
    out.i32(row.pid);
    out.u8(row.fds.bits());
    match &row.state {
        RowState::Starting => out.u8(0),
        RowState::Running => out.u8(1),
        RowState::Dead(exit) => {
            out.u8(2);
            write_exit(out, exit);
        }
        RowState::Reaped(exit) => {
            out.u8(3);
            write_exit(out, exit);
        }
    }
}

fn read_row(from: &mut Reader<'_>) -> Result<Row> {
    let (token, pid, fds) = (from.u64()?, from.i32()?, Fds::from_bits(from.u8()?)?);
    let state = match from.u8()? {
        0 => RowState::Starting,
        1 => RowState::Running,
        2 => RowState::Dead(read_exit(from)?),
        3 => RowState::Reaped(read_exit(from)?),
        _ => return Err(Malformed("an unknown state")),
    };
    Ok(Row { token, pid, state, fds })
}

fn write_refusal(out: &mut Writer, why: Refusal) {
    let (kind, errno) = match why {
        Refusal::Malformed => (0, 0),
        Refusal::UnknownToken => (1, 0),
        Refusal::TokenTaken => (2, 0),
        Refusal::Alive => (3, 0),
        Refusal::NoFd => (4, 0),
        Refusal::Errno(errno) => (5, errno),
    };
    out.u8(kind);
    out.i32(errno);
}

fn read_refusal(from: &mut Reader<'_>) -> Result<Refusal> {
    Ok(match (from.u8()?, from.i32()?) {
        (0, _) => Refusal::Malformed,
        (1, _) => Refusal::UnknownToken,
        (2, _) => Refusal::TokenTaken,
        (3, _) => Refusal::Alive,
        (4, _) => Refusal::NoFd,
        (5, errno) => Refusal::Errno(errno),
        _ => return Err(Malformed("an unknown refusal")),
    })
}
