//! What the daemon asks for, done.
//! Owns: every `Request`, the start of a process, and the two things that then happen to it.
//! Never: trusts a request: what cannot be done is refused, and harms nothing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use super::plan::{Failure, Passed, Plan, Sink, Stage, Step};
use super::protocol::{Exit, MAX_TOKEN, Message, Refusal, Request, Token};
use super::run::{Holder, Source};
use super::table::{Proc, State, Streams};
use crate::sys::clone::{Child, Launch, Verdict};
use crate::sys::pidfd;
use crate::sys::pipe::{self, LOG_CAPACITY, Pipe};
use crate::sys::socket;

/// Rows in one message, far below its greatest length.
const ROWS_AT_ONCE: usize = 4096;

impl Holder {
    pub(super) fn on_request(&mut self, bytes: &[u8], fds: Vec<OwnedFd>) {
        let refused = match Request::decode(bytes) {
            Ok(request) => self.carry_out(request, fds).err(),
            Err(_) => Some((Request::token_to_spawn(bytes), Refusal::Malformed)),
        };
        if let Some((token, why)) = refused {
            self.tell(&Message::Refused { token, why });
        }
    }

    fn carry_out(&mut self, request: Request, fds: Vec<OwnedFd>) -> Result<(), (Option<Token>, Refusal)> {
        match request {
            Request::Spawn { token, plan } => self.spawn(token, plan).map_err(|why| (Some(token), why)),
            Request::Signal { token, signal } => self.signal(token, signal).map_err(|why| (Some(token), why)),
            Request::SignalGroup { token, signal } => {
                self.signal_group(token, signal).map_err(|why| (Some(token), why))
            }
            Request::Reap { token } => self.reap(token).map_err(|why| (Some(token), why)),
            Request::Forget { token } => self.forget(token).map_err(|why| (Some(token), why)),
            Request::DropStream { token, stream } => {
                let proc = self.proc(token).map_err(|why| (Some(token), why))?;
                if proc.stream(stream).take().is_some() {
                    self.systemd.forget_stream(token, stream as usize);
                }
                Ok(())
            }
            Request::Take { token } => {
                let proc = self.proc(token).map_err(|why| (Some(token), why))?;
                let (kinds, fds) = proc.fds();
                self.tell_with(&Message::Taken { token, fds: kinds }, fds);
                Ok(())
            }
            Request::Inventory => {
                self.tell_inventory();
                Ok(())
            }
            Request::Store { name } => {
                let [fd] = <[OwnedFd; 1]>::try_from(fds).map_err(|_| (None, Refusal::NoFd))?;
                self.systemd.keep_stored(&mut self.store, name, fd);
                Ok(())
            }
            Request::Drop { name } => {
                self.store.drop(&name);
                self.systemd.forget_stored(&name);
                Ok(())
            }
            Request::Fetch { name } => {
                let fd = self.store.get(&name);
                self.tell_with(&Message::Fetched { name, found: fd.is_some() }, fd.into_iter().collect());
                Ok(())
            }
            Request::Serving => {
                self.keeper.served = true;
                self.forget_spill();
                let status = self.status();
                self.systemd.ready(&status);
                Ok(())
            }
            Request::Pong => {
                self.on_pong();
                Ok(())
            }
            Request::Upgrade => {
                self.ask_for_upgrade();
                Ok(())
            }
            Request::Quit if self.table.any_alive() => Err((None, Refusal::Alive)),
            Request::Quit => {
                self.forget_all();
                self.drop_timer();
                // Without its timer the farewell has no end but the daemon's, which it has announced.
                let _ = self.keeper.leave();
                self.watch_timer();
                Ok(())
            }
        }
    }

    fn proc(&mut self, token: Token) -> Result<&mut Proc, Refusal> {
        self.table.0.get_mut(&token).ok_or(Refusal::UnknownToken)
    }

    fn signal(&mut self, token: Token, signal: i32) -> Result<(), Refusal> {
        let proc = self.proc(token)?;
        let pidfd = proc.pidfd.as_ref().ok_or(Refusal::UnknownToken)?;
        pidfd::send_signal(pidfd.as_fd(), signal).map_err(errno)
    }

    /// The zombie of the leader, if it is dead, keeps the number of the group ours.
    fn signal_group(&mut self, token: Token, signal: i32) -> Result<(), Refusal> {
        let proc = self.proc(token)?;
        if proc.pidfd.is_none() {
            return Err(Refusal::UnknownToken);
        }
        if proc.stranger {
            // It may have been reaped, and then the group may be another's.
            return Err(Refusal::Errno(libc::ECHILD));
        }
        pidfd::signal_group(proc.pid, signal).map_err(errno)
    }

    fn reap(&mut self, token: Token) -> Result<(), Refusal> {
        let proc = self.proc(token)?;
        match (&proc.state, &proc.pidfd) {
            (State::Dead(exit), Some(pidfd)) => {
                if !proc.stranger {
                    pidfd::reap(pidfd.as_fd()).map_err(errno)?;
                }
                proc.state = State::Reaped(*exit);
                proc.pidfd = None;
                self.stall.acknowledge();
                self.systemd.forget_pidfd(token);
            }
            (State::Reaped(_), _) => {}
            _ => return Err(Refusal::Alive),
        }
        self.reap_orphans();
        Ok(())
    }

    fn forget(&mut self, token: Token) -> Result<(), Refusal> {
        self.reap(token)?;
        if let Some(proc) = self.table.0.remove(&token) {
            self.systemd.forget_proc(token, &proc);
        }
        Ok(())
    }

    fn tell_inventory(&mut self) {
        let rows = self.table.rows();
        let mut stored = self.store.names();
        let mut chunks = rows.chunks(ROWS_AT_ONCE).map(<[_]>::to_vec).collect::<Vec<_>>();
        let last = chunks.pop().unwrap_or_default();
        for rows in chunks {
            self.tell(&Message::Inventory { rows, stored: std::mem::take(&mut stored), last: false });
        }
        self.tell(&Message::Inventory { rows: last, stored, last: true });
    }

    fn spawn(&mut self, token: Token, mut plan: Box<Plan>) -> Result<(), Refusal> {
        if token >= MAX_TOKEN || self.table.0.contains_key(&token) {
            return Err(Refusal::TokenTaken);
        }
        match self.launch(&mut plan) {
            Ok((child, streams)) => {
                let Child { pid, pidfd, report } = child;
                let watched = self
                    .watch(&pidfd, Source::Proc(token))
                    .and_then(|()| self.watch(report.as_fd(), Source::Report(token)));
                let state = State::Starting { plan, report };
                let proc = Proc { pid, pidfd: Some(Rc::new(pidfd)), streams, state, stranger: false };
                self.table.0.insert(token, proc);
                if watched.is_err() {
                    // epoll has no memory left for it, and what is not watched cannot be kept.
                    self.abandon(token);
                }
            }
            Err(failure) => self.tell(&Message::SpawnFailed { token, failure }),
        }
        Ok(())
    }

    fn abandon(&mut self, token: Token) {
        let Some(proc) = self.table.0.remove(&token) else { return };
        if let Some(pidfd) = &proc.pidfd {
            let _ = self.epoll.delete(pidfd.as_fd());
            let _ = pidfd::send_signal(pidfd.as_fd(), libc::SIGKILL);
        }
        // Without a row it is an orphan like any other, and is reaped as one.
        self.tell(&Message::SpawnFailed { token, failure: Failure::before(Stage::Clone, libc::ENOMEM) });
    }

    fn launch(&mut self, plan: &mut Plan) -> Result<(Child, Streams), Failure> {
        let before = |stage| move |error: std::io::Error| Failure::before(stage, error.raw_os_error().unwrap_or(0));
        let owner = plan.steps.iter().find_map(|step| match step {
            Step::SetUid(uid) => Some(*uid),
            _ => None,
        });
        let output = |sink: Sink| -> Result<Option<Pipe>, Failure> {
            if sink == Sink::Null {
                return Ok(None);
            }
            let pipe = Pipe::new().map_err(before(Stage::Streams))?;
            if let Some(uid) = owner.filter(|&uid| uid != 0) {
                pipe::give_to(pipe.write.as_fd(), uid, None).map_err(before(Stage::Streams))?;
            }
            Ok(Some(pipe))
        };
        let (stdout, stderr) = (output(plan.stdout)?, output(plan.stderr)?);
        let ipc = match plan.passed.contains(&Passed::Ipc) {
            true => Some(socket::stream_pair().map_err(before(Stage::Streams))?),
            false => None,
        };
        let mut stored = Vec::new();
        for passed in &plan.passed {
            if let Passed::Stored(name) = passed {
                let fd = self.store.get(name).ok_or(Failure::before(Stage::Plan, libc::ENOENT))?;
                stored.push(fd);
            }
        }
        let null = self.null.as_fd();
        let mut fds: Vec<BorrowedFd<'_>> = vec![
            null,
            stdout.as_ref().map_or(null, |pipe| pipe.write.as_fd()),
            stderr.as_ref().map_or(null, |pipe| pipe.write.as_fd()),
        ];
        let mut next_stored = stored.iter();
        for passed in &plan.passed {
            fds.extend(match passed {
                Passed::Ipc => ipc.as_ref().map(|(_, theirs)| theirs.as_fd()),
                Passed::Stored(_) => next_stored.next().map(|fd| fd.as_fd()),
            });
        }
        // Ours was raised for our own sake. A program that uses select(2) breaks with fds beyond 1024.
        let limits_files =
            |step: &Step| matches!(step, Step::Rlimit { resource, .. } if *resource == libc::RLIMIT_NOFILE);
        if !plan.steps.iter().any(limits_files) {
            let (soft, hard) = self.nofile;
            plan.steps.push(Step::Rlimit { resource: libc::RLIMIT_NOFILE, soft, hard });
        }
        let launch = Launch {
            program: &plan.program,
            args: &plan.args,
            env: &plan.env,
            cgroup: plan.cgroup.as_deref(),
            fds: &fds,
            steps: &plan.steps,
        };
        let child = launch.start().map_err(|failure| Failure::from_child(failure, plan))?;
        // After the clone, when the child has work to do, too. A pipe that stays small only blocks its writer sooner.
        for pipe in stdout.iter().chain(&stderr) {
            let _ = pipe::set_capacity(pipe.read.as_fd(), LOG_CAPACITY);
        }
        let read_end = |pipe: Option<Pipe>| pipe.map(|pipe| Rc::new(pipe.read));
        let ipc = ipc.map(|(ours, _)| Rc::new(ours));
        Ok((child, [read_end(stdout), read_end(stderr), ipc, None, None]))
    }

    /// The report pipe has something to say, or has closed.
    pub(super) fn on_report(&mut self, token: Token) {
        let Some(proc) = self.table.0.get_mut(&token) else { return };
        let State::Starting { plan, report } = &proc.state else { return };
        let failure = match report.verdict() {
            Verdict::Pending => return,
            Verdict::Running => None,
            Verdict::Failed(failure) => Some(Failure::from_child(failure, plan)),
        };
        // A child that has not come to its exec yet holds a copy of it, so closing ours would not end the watch.
        let _ = self.epoll.delete(report.as_fd());
        match failure {
            Some(failure) => proc.state = State::Failed(failure),
            None => {
                proc.state = State::Running;
                let (pid, (kinds, fds)) = (proc.pid, proc.fds());
                self.systemd.keep_proc(token, proc);
                self.tell_with(&Message::Spawned { token, pid, fds: kinds }, fds);
            }
        }
    }

    /// A child is dead.
    pub(super) fn on_proc(&mut self, token: Token) {
        // The report comes first, though epoll may have shown them the other way round.
        self.on_report(token);
        let Some(proc) = self.table.0.get_mut(&token) else { return };
        let Some(pidfd) = proc.pidfd.clone() else { return };
        // The daemon holds a copy, so closing ours would not end the watch.
        match proc.state {
            State::Failed(failure) => {
                if let Ok(Some(_)) = pidfd::reap(pidfd.as_fd()) {
                    let _ = self.epoll.delete(pidfd.as_fd());
                    self.table.0.remove(&token);
                    self.tell(&Message::SpawnFailed { token, failure });
                }
            }
            State::Starting { .. } | State::Running => {
                let exit = match pidfd::peek(pidfd.as_fd()) {
                    Ok(Some(exit)) => exit,
                    Ok(None) => return,
                    Err(_) => Exit::Unknown,
                };
                proc.state = State::Dead(exit);
                self.stall.owe();
                let _ = self.epoll.delete(pidfd.as_fd());
                self.tell(&Message::Exited { token, exit });
            }
            State::Dead(_) | State::Reaped(_) => {}
        }
    }
}

fn errno(error: std::io::Error) -> Refusal {
    Refusal::Errno(error.raw_os_error().unwrap_or(libc::EIO))
}
