//! A world, a clock and a hand that answers effects: what a scenario is told in.
//! Owns: the short spelling of effects. Never: decides; what it answers by itself is what a daemon answers at once.

use std::time::Duration;

use stead::core::{Effect, Event, World, effect::News};
use stead::model::exit::Exit;
use stead::model::ids::{AppName, InstanceId, JobId, ProcId, Run, Slot};
use stead::model::quantity::{Bytes, Surge};
use stead::model::request::{InstanceResult, Outcome, Request, ScaleTo, Whom};
use stead::model::selector::Selector;
use stead::model::signal::Signal;
use stead::model::spec::*;
use stead::model::status::{InstanceView, Status};
use stead::model::time::{Mono, Now, Wall};

/// Some moment of a machine that has been up for a while.
const START: Mono = Mono(1_000_000_000_000);

pub fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// An app with every setting at its default.
pub fn spec(name: &str) -> AppSpec {
    AppSpec {
        name: AppName::parse(name).unwrap(),
        namespace: "default".into(),
        command: Command { program: "/bin/app".into(), args: vec![], script: None, shown: "app".into() },
        cwd: "/".into(),
        env: Default::default(),
        env_file: None,
        pid_file: None,
        instance_var: INSTANCE_VAR.into(),
        increment_var: None,
        identity: Identity { user: "app".into(), group: None, groups: None },
        limits: Limits::default(),
        process: ProcessSettings {
            umask: 0o022,
            nice: None,
            oom_score_adj: 0,
            rlimits: Default::default(),
            no_new_privs: true,
            capabilities: vec![],
        },
        sandbox: Default::default(),
        instances: 1,
        max_surge: Surge::Percent(25),
        replace: Replace::Auto,
        share_ports: true,
        balance: Balance::RoundRobin,
        listen: vec![],
        autostart: true,
        ready_on: ReadyOn::Auto,
        start_timeout: secs(30),
        drain_timeout: secs(10),
        stop_timeout: secs(10),
        stop_signal: Signal::TERM,
        stop_scope: StopScope::Main,
        restart: Restart::Always,
        stop_exit_codes: vec![],
        restart_delay: None,
        exp_backoff_restart_delay: None,
        max_restarts: 16,
        min_uptime: secs(1),
        times: Default::default(),
        log: LogSettings {
            format: LogFormat::Cri,
            out_file: None,
            error_file: None,
            max_size: Bytes(64 << 20),
            max_files: 8,
            compress: true,
            max_total: Bytes(1 << 30),
        },
    }
}

/// `web/0@3`.
pub fn proc(text: &str) -> ProcId {
    let (instance, run) = text.split_once('@').expect("a proc is written app/slot@run");
    ProcId { instance: instance_id(instance), run: Run(run.parse().unwrap()) }
}

pub fn instance_id(text: &str) -> InstanceId {
    let (app, slot) = text.split_once('/').expect("an instance is written app/slot");
    InstanceId { app: AppName::parse(app).unwrap(), slot: Slot(slot.parse().unwrap()) }
}

pub struct Scenario {
    pub world: World,
    pub spec: AppSpec,
    now: Mono,
    next_job: u64,
    /// Effects not yet expected.
    seen: Vec<String>,
    done: Vec<(JobId, Outcome)>,
    news: Vec<String>,
    drains_by_itself: bool,
    spawns_by_itself: bool,
    /// What the host's clock shows beyond the time since the start.
    wall_ahead: i64,
    /// The calendar: each time is a multiple of this.
    every: Duration,
    saves: usize,
    log: Vec<String>,
}

impl Scenario {
    pub fn app(name: &str) -> Self {
        Self {
            world: World::new(42),
            spec: spec(name),
            now: START,
            next_job: 1,
            seen: vec![],
            done: vec![],
            news: vec![],
            drains_by_itself: true,
            spawns_by_itself: true,
            wall_ahead: 0,
            every: secs(3600),
            saves: 0,
            log: vec![],
        }
    }

    pub fn instances(mut self, instances: u32) -> Self {
        self.spec.instances = instances;
        self
    }

    /// Changes any setting of the app.
    pub fn with(mut self, change: impl FnOnce(&mut AppSpec)) -> Self {
        change(&mut self.spec);
        self
    }

    /// `Drained` comes only when the scenario says so.
    pub fn draining_takes_time(mut self) -> Self {
        self.drains_by_itself = false;
        self
    }

    /// `Spawned` comes only when the scenario says so.
    pub fn spawning_takes_time(mut self) -> Self {
        self.spawns_by_itself = false;
        self
    }

    // When.

    pub fn event(&mut self, event: Event) -> &mut Self {
        let at = (self.now.0 - START.0) / 1_000_000;
        self.log.push(format!("[{at:>8} ms] <- {}", brief(&format!("{event:?}"))));
        let mut out = Vec::new();
        self.world.step(self.time(), event, &mut out);
        for effect in &out {
            self.log.push(format!("              -> {}", brief(&format!("{effect:?}"))));
        }
        let mut saved = false;
        let mut answers = Vec::new();
        for effect in out {
            match &effect {
                Effect::Spawn { proc, .. } if self.spawns_by_itself => {
                    answers.push(Event::Spawned { proc: proc.clone(), pid: 1000 + proc.run.0 as i32 });
                }
                Effect::Drain { proc } if self.drains_by_itself => answers.push(Event::Drained { proc: proc.clone() }),
                Effect::NextTime { app, revision, after } => {
                    let (app, revision, after) = (app.clone(), *revision, *after);
                    let at = Some(self.time_after(after));
                    answers.push(Event::Planned { app, revision, after, at });
                }
                Effect::SaveDesired => {
                    assert!(!std::mem::replace(&mut saved, true), "saved twice in a step{}", self.story());
                    self.saves += 1;
                }
                _ => {}
            }
            self.take(effect);
        }
        for answer in answers {
            self.event(answer);
        }
        self
    }

    fn take(&mut self, effect: Effect) {
        let text = match effect {
            Effect::Spawn { proc, revision, .. } => format!("spawn {proc} r{revision}"),
            Effect::Drain { .. } if self.drains_by_itself => return,
            Effect::Drain { proc } => format!("drain {proc}"),
            Effect::Signal { proc, signal, .. } => format!("{signal} {proc}"),
            Effect::Kill { proc } => format!("kill {proc}"),
            Effect::Forget { app } => format!("forget {app}"),
            Effect::Exit => "exit".to_owned(),
            Effect::Deny { denied, .. } => format!("deny: {denied}"),
            Effect::Done { job, outcome } => return self.done.push((job, outcome)),
            Effect::Log { proc, news } => return self.take_news(&proc.to_string(), &news),
            Effect::LogInstance { instance, news } => return self.take_news(&instance.to_string(), &news),
            Effect::Alarm(alarm) => panic!("alarm: {alarm}{}", self.story()),
            Effect::SaveDesired | Effect::NextTime { .. } | Effect::Accepted { .. } | Effect::Progress { .. } => return,
        };
        self.seen.push(text);
    }

    fn take_news(&mut self, of: &str, news: &News) {
        self.news.push(format!("{of} {news}"));
    }

    pub fn request(&mut self, request: Request) -> JobId {
        let job = JobId(self.next_job);
        self.next_job += 1;
        self.event(Event::Request { job, request });
        job
    }

    pub fn deploy(&mut self) -> JobId {
        let spec = self.spec.clone();
        self.request(Request::Deploy { specs: vec![spec], whom: Whom::OfTheirFile })
    }

    /// A deployment of the app with one setting changed.
    pub fn deploy_changed(&mut self, change: impl FnOnce(&mut AppSpec)) -> JobId {
        change(&mut self.spec);
        self.deploy()
    }

    pub fn start(&mut self, selector: &str) -> JobId {
        self.request(Request::Start { selectors: selectors(selector) })
    }

    pub fn restart(&mut self, selector: &str) -> JobId {
        self.request(Request::Restart { selectors: selectors(selector) })
    }

    pub fn stop(&mut self, selector: &str) -> JobId {
        self.request(Request::Stop { selectors: selectors(selector) })
    }

    pub fn kill(&mut self, selector: &str) -> JobId {
        self.request(Request::Kill { selectors: selectors(selector) })
    }

    pub fn delete(&mut self, selector: &str) -> JobId {
        self.request(Request::Delete { selectors: selectors(selector) })
    }

    pub fn reset(&mut self, selector: &str) -> JobId {
        self.request(Request::Reset { selectors: selectors(selector) })
    }

    pub fn scale(&mut self, to: ScaleTo) -> JobId {
        let app = self.spec.name.clone();
        self.request(Request::Scale { app, to })
    }

    pub fn spawned(&mut self, text: &str) -> &mut Self {
        let proc = proc(text);
        let pid = 1000 + proc.run.0 as i32;
        self.event(Event::Spawned { proc, pid })
    }

    pub fn spawn_fails(&mut self, text: &str, why: &str) -> &mut Self {
        self.event(Event::SpawnFailed { proc: proc(text), why: why.into() })
    }

    pub fn ready(&mut self, text: &str) -> &mut Self {
        self.event(Event::Ready { proc: proc(text) })
    }

    /// The main process ends; its cgroup still holds something.
    pub fn ends(&mut self, text: &str, code: i32) -> &mut Self {
        self.event(Event::Exited { proc: proc(text), exit: Exit::Code(code), oom: false })
    }

    pub fn gone(&mut self, text: &str) -> &mut Self {
        self.event(Event::Gone { proc: proc(text) })
    }

    /// It ends, and nothing is left of it.
    pub fn exits(&mut self, text: &str, code: i32) -> &mut Self {
        self.ends(text, code).gone(text)
    }

    pub fn is_killed(&mut self, text: &str, oom: bool) -> &mut Self {
        let exit = Exit::Signal { signal: Signal::KILL, core_dumped: false };
        self.event(Event::Exited { proc: proc(text), exit, oom }).gone(text)
    }

    /// Time passes; every deadline on the way is met on time.
    pub fn after(&mut self, span: Duration) -> &mut Self {
        let end = self.now + span;
        while let Some(at) = self.next_due().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.event(Event::Deadline);
        }
        self.now = end;
        self
    }

    fn next_due(&self) -> Option<Mono> {
        let by_calendar = self.world.next_time().map(|at| Mono(at.0.saturating_add_signed(-self.wall_ahead)));
        self.world.next_deadline().into_iter().chain(by_calendar).min()
    }

    /// Somebody sets the host's clock.
    pub fn clock_set(&mut self, forward: bool, span: Duration) -> &mut Self {
        let by = span.as_nanos() as i64;
        self.wall_ahead += if forward { by } else { -by };
        self.event(Event::ClockSet)
    }

    /// What the host's clock shows, in seconds since the last time of the calendar.
    pub fn since_time(&self) -> Duration {
        Duration::from_nanos(self.time().wall.0 % self.every.as_nanos() as u64)
    }

    /// Until the next time of the calendar.
    pub fn next_time(&mut self) -> &mut Self {
        let span = self.every - self.since_time();
        self.after(span)
    }

    /// The app is deployed, and every instance is ready.
    pub fn up(mut self) -> Self {
        self.deploy();
        for slot in 0..self.spec.instances {
            let text = format!("{}/{slot}@{}", self.spec.name, slot + 1);
            self.ready(&text);
        }
        self.seen.clear();
        self.news.clear();
        self
    }

    /// The daemon dies here; the next one takes up what was saved.
    pub fn daemon_dies(&mut self) -> &mut Self {
        let desired = serde_json::to_string(&self.world.desired()).unwrap();
        let runtime = serde_json::to_string(&self.world.runtime()).unwrap();
        let (desired, runtime) = (serde_json::from_str(&desired).unwrap(), serde_json::from_str(&runtime).unwrap());
        self.world = World::restore(desired, runtime);
        // As the daemon does it: a clock may have been set meanwhile.
        self.event(Event::ClockSet)
    }

    /// The daemon dies, and the next one comes after so long.
    pub fn dies_for(&mut self, span: Duration) -> &mut Self {
        self.now = self.now + span;
        self.daemon_dies()
    }

    /// It dies after it has saved that it asks for times, and before it was told.
    pub fn dies_with_its_questions(&mut self) -> &mut Self {
        let mut out = Vec::new();
        self.world.step(self.time(), Event::ClockSet, &mut out);
        assert!(out.iter().any(|effect| matches!(effect, Effect::NextTime { .. })), "{}", self.story());
        let (desired, runtime) = (self.world.desired(), self.world.runtime());
        self.world = World::restore(desired, runtime);
        for effect in self.world.outstanding() {
            if let Effect::NextTime { app, revision, after } = effect {
                let at = Some(self.time_after(after));
                self.event(Event::Planned { app, revision, after, at });
            }
        }
        self
    }

    fn time_after(&self, after: Wall) -> Wall {
        let every = self.every.as_nanos() as u64;
        Wall((after.0 / every + 1) * every)
    }

    /// The machine goes down and comes up: only the disk is left.
    pub fn reboot(&mut self) -> &mut Self {
        let desired = serde_json::to_string(&self.world.desired()).unwrap();
        self.world = World::from_desired(serde_json::from_str(&desired).unwrap(), 43);
        self.seen.clear();
        self.after(Duration::ZERO)
    }

    // Then.

    /// These effects, in this order, and no others since the last look.
    #[track_caller]
    pub fn expect<const N: usize>(&mut self, effects: [&str; N]) -> &mut Self {
        let seen = std::mem::take(&mut self.seen);
        assert_eq!(seen, effects, "{}", self.story());
        self
    }

    /// How a job ended, and that it has.
    #[track_caller]
    pub fn outcome(&self, job: JobId) -> &Outcome {
        match self.done.iter().find(|(known, _)| *known == job) {
            Some((_, outcome)) => outcome,
            None => panic!("job {job} is not done{}", self.story()),
        }
    }

    /// One result for each instance concerned.
    #[track_caller]
    pub fn results(&self, job: JobId) -> Vec<&InstanceResult> {
        self.outcome(job).instances.iter().map(|i| &i.result).collect()
    }

    pub fn is_open(&self, job: JobId) -> bool {
        self.world.is_open(job)
    }

    #[track_caller]
    pub fn view(&self, text: &str) -> InstanceView {
        let id = instance_id(text);
        let app = self.world.app(&id.app).unwrap_or_else(|| panic!("no app {}{}", id.app, self.story()));
        let found = app.slots.iter().find(|view| view.instance == id).cloned();
        found.unwrap_or_else(|| panic!("no instance {id}{}", self.story()))
    }

    #[track_caller]
    pub fn status(&self, text: &str) -> Status {
        self.view(text).status
    }

    pub fn has_news(&self, text: &str) -> bool {
        self.news.iter().any(|news| news.contains(text))
    }

    pub fn count_news(&self, text: &str) -> usize {
        self.news.iter().filter(|news| news.contains(text)).count()
    }

    pub fn saves(&self) -> usize {
        self.saves
    }

    pub fn time(&self) -> Now {
        Now { mono: self.now, wall: Wall(self.now.0.saturating_add_signed(self.wall_ahead)) }
    }

    /// What led here, for a failing test.
    pub fn story(&self) -> String {
        format!("\n--- what happened\n{}\n---", self.log.join("\n"))
    }
}

/// Specs are long, and every scenario shows its own.
pub fn brief(text: &str) -> String {
    match text.find("AppSpec {") {
        Some(at) => format!("{}AppSpec {{ … }}", &text[..at]),
        None => text.to_owned(),
    }
}

pub fn selectors(text: &str) -> Vec<Selector> {
    text.split_whitespace().map(|s| Selector::parse(s).unwrap()).collect()
}
