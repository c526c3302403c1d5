//! What people read and type: tables at 80 and 120 columns, views, help, and the grammar of the command line.

use clap::{CommandFactory, Parser};
use jiff::tz::TimeZone;
use stead::bus::proxy::{AppDetail, Finding, FindingLevel, PlanLine};
use stead::cli::args::{Cli, Verb};
use stead::cli::commands::TEMPLATE;
use stead::cli::table::{self, Style};
use stead::cli::views;
use stead::config::raw::Value;
use stead::model::selector::Generation;
use stead::model::status::{Draining, ExitStatus, InstanceDetail, InstanceStatus, Status};

fn running(id: u32, app: &str, slot: u32) -> InstanceStatus {
    InstanceStatus {
        id,
        app: app.into(),
        instance: format!("{app}/{slot}"),
        namespace: "default".into(),
        pid: Some(4711 + id as i32),
        status: Status::Running,
        generation: Some(Generation::Running),
        ready: true,
        revision: 3,
        outdated: false,
        uptime_ms: Some(273_600_000),
        restarts: 0,
        memory_bytes: Some(64 << 20),
        memory_peak_bytes: Some(80 << 20),
        cpu_percent: Some(12.5),
        tasks: Some(11),
        ports: vec![8080, 8081, 8082],
        cgroup: Some(format!("stead/app-{app}/{slot}@17")),
        user: "www-data".into(),
        last_exit: None,
    }
}

fn down(id: u32, app: &str, status: Status, exit: ExitStatus) -> InstanceStatus {
    InstanceStatus {
        pid: None,
        status,
        generation: None,
        ready: false,
        uptime_ms: None,
        restarts: 16,
        memory_bytes: None,
        memory_peak_bytes: None,
        cpu_percent: None,
        tasks: None,
        ports: Vec::new(),
        cgroup: None,
        last_exit: Some(exit),
        ..running(id, app, 0)
    }
}

fn oom() -> ExitStatus {
    ExitStatus {
        reason: "oom".into(),
        code: None,
        signal: Some("SIGKILL".into()),
        at: 1_700_000_000_000,
        message: None,
    }
}

fn some_apps() -> Vec<InstanceStatus> {
    let exit = ExitStatus { reason: "exit".into(), code: Some(3), signal: None, ..oom() };
    vec![
        running(0, "api", 0),
        InstanceStatus { outdated: true, restarts: 2, last_exit: Some(oom()), ..running(1, "api", 1) },
        down(2, "image-resizer", Status::Errored, exit),
        down(10, "worker", Status::Waiting, oom()),
    ]
}

fn list(width: Option<usize>) -> String {
    table::instances(&some_apps(), Style { color: false, width })
}

#[test]
fn a_list_in_a_wide_terminal_has_every_column_that_says_something() {
    insta::assert_snapshot!(list(Some(120)), @"
    id  instance         status               pid  uptime  restarts  memory    cpu  ports      user      last exit
     0  api/0            running             4711      3d         0   64.0M  12.5%  8080-8082  www-data
     1  api/1            running (outdated)  4712      3d         2   64.0M  12.5%  8080-8082  www-data  oom
     2  image-resizer/0  errored                -       -        16       -      -             www-data  exit 3
    10  worker/0         waiting                -       -        16       -      -             www-data  oom
    ");
}

#[test]
fn a_list_in_eighty_columns_leaves_out_what_matters_least() {
    insta::assert_snapshot!(list(Some(80)), @"
    id  instance         status               pid  uptime  restarts  memory    cpu
     0  api/0            running             4711      3d         0   64.0M  12.5%
     1  api/1            running (outdated)  4712      3d         2   64.0M  12.5%
     2  image-resizer/0  errored                -       -        16       -      -
    10  worker/0         waiting                -       -        16       -      -
    ");
    insta::assert_snapshot!(list(Some(40)), @"
    instance         status
    api/0            running
    api/1            running (outdated)
    image-resizer/0  errored
    worker/0         waiting
    ");
}

#[test]
fn a_list_that_is_piped_is_never_cut() {
    let mut apps = some_apps();
    apps[0].user = "u".repeat(200);
    apps[0].namespace = "shop".into();
    let text = table::instances(&apps, Style { color: false, width: None });
    assert!(text.contains(&"u".repeat(200)) && text.contains("namespace"));
    assert_eq!(text.lines().count(), 5, "one line an instance:\n{text}");
    assert!(!text.contains('\x1b'));
}

#[test]
fn colours_change_nothing_but_colours() {
    let colored = table::instances(&some_apps(), Style { color: true, width: Some(120) });
    let mut plain = String::new();
    let mut escape = false;
    for c in colored.chars() {
        match c {
            '\x1b' => escape = true,
            'm' if escape => escape = false,
            _ if escape => {}
            c => plain.push(c),
        }
    }
    let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert_ne!(colored, plain);
    assert_eq!(trimmed(&plain), trimmed(&list(Some(120))));
}

fn shown() -> AppDetail {
    let waits = Draining { queued: 0, handshakes: 0, busy: 1, quiet_soon: 2, until_ms: 7_200 };
    let instances = some_apps().into_iter().take(3).map(|status| InstanceDetail {
        draining: (status.instance == "api/1").then(|| waits.clone()),
        status,
        memory_anon_bytes: Some(50 << 20),
        memory_file_bytes: Some(14 << 20),
        fds: Some(23),
        sampled: true,
        procs: vec!["api/0@17 running pid 4711".into()],
        log_files: vec!["/var/log/stead/api/0.log".into()],
        due_ms: None,
        notes: vec!["replaced old-first: it listens".into()],
    });
    AppDetail {
        name: "api".into(),
        namespace: "default".into(),
        user: "www".into(),
        revision: 3,
        instances_wanted: 2,
        spec: vec![
            ("run".into(), Value::texts(["/usr/bin/node", "/srv/api.js"])),
            ("memory_max".into(), "64M".into()),
            ("env".into(), Value::table([("PORT".to_owned(), "8080".into())])),
        ],
        instances: instances.collect(),
    }
}

#[test]
fn show_says_everything_about_an_app() {
    insta::assert_snapshot!(views::app(&shown(), false, &TimeZone::UTC), @r#"
    api
      namespace  default
      revision   3
      instances  2

      settings
        run         ["/usr/bin/node", "/srv/api.js"]
        memory_max  "64M"
        env         { PORT = "8080" }

      api/0
        id          0
        status      running, ready
        generation  running
        revision    3
        pid         4711
        user        www-data
        uptime      3d 4h
        restarts    0
        memory      64.0M (peak 80.0M, anon 50.0M, file 14.0M, sampled)
        cpu         12.5%
        tasks       11
        fds         23
        ports       8080-8082
        cgroup      stead/app-api/0@17
        procs       api/0@17 running pid 4711
        logs        /var/log/stead/api/0.log
        note: replaced old-first: it listens

      api/1
        id          1
        status      running, ready, outdated
        generation  running
        draining    waits for 3 connections (1 being answered, 2 quiet, but not for long yet), 0 queued; at most 7.2s more
        revision    3
        pid         4712
        user        www-data
        uptime      3d 4h
        restarts    2
        memory      64.0M (peak 80.0M, anon 50.0M, file 14.0M, sampled)
        cpu         12.5%
        tasks       11
        fds         23
        ports       8080-8082
        cgroup      stead/app-api/1@17
        last exit   oom, SIGKILL, at 2023-11-14 22:13:20
        procs       api/0@17 running pid 4711
        logs        /var/log/stead/api/0.log
        note: replaced old-first: it listens

      image-resizer/0
        id         2
        status     errored
        revision   3
        user       www-data
        restarts   16
        fds        23
        last exit  exit, code 3, at 2023-11-14 22:13:20
        procs      api/0@17 running pid 4711
        logs       /var/log/stead/api/0.log
        note: replaced old-first: it listens
    "#);
}

#[test]
fn show_as_json_has_the_names_of_list_and_of_the_config() {
    let json = views::app_json(&shown());
    assert_eq!(json["spec"]["env"]["PORT"], "8080");
    assert_eq!(json["instances"][0]["status"]["instance"], "api/0");
    assert_eq!(json["instances"][1]["status"]["last_exit"]["reason"], "oom");
    let mut waits =
        json["instances"][1]["draining"].as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>();
    waits.sort_unstable();
    assert_eq!(waits, ["busy", "handshakes", "queued", "quiet_soon", "until_ms"]);
    assert!(json["instances"][0]["draining"].is_null());
}

#[test]
fn an_object_of_list_has_the_promised_names() {
    let json = serde_json::to_value(&some_apps()[1]).unwrap();
    let mut names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names.join(" "),
        "app cgroup cpu_percent generation id instance last_exit memory_bytes memory_peak_bytes namespace outdated pid \
         ports ready restarts revision status tasks uptime_ms user"
    );
    assert_eq!((json["status"].as_str(), json["generation"].as_str()), (Some("running"), Some("running")));
}

#[test]
fn a_plan_is_a_line_for_each_instance() {
    let line = |instance: Option<&str>, action: &str, why: &str| PlanLine {
        app: "api".into(),
        instance: instance.map(str::to_owned),
        action: action.into(),
        why: why.into(),
    };
    let plan = [
        line(Some("api/0"), "roll-new-first", "memory_max: 64M -> 128M"),
        line(Some("api/1"), "start", ""),
        line(None, "unchanged", ""),
    ];
    insta::assert_snapshot!(views::plan(&plan), @"
    instance  action          why
    api/0     roll-new-first  memory_max: 64M -> 128M
    api/1     start
    api       unchanged
    ");
    assert_eq!(views::plan(&[]), "nothing to do\n");
}

#[test]
fn findings_stand_with_the_worst_last() {
    let finding = |level, subject: &str, text: &str, mend: &str| Finding {
        level,
        subject: subject.into(),
        text: text.into(),
        mend: mend.into(),
    };
    let findings = [
        finding(FindingLevel::Bad, "cgroups", "not writable", "run the container with --cgroupns=private"),
        finding(FindingLevel::Good, "clone3", "enters cgroups", ""),
        finding(FindingLevel::Note, "bus", "no system bus", ""),
    ];
    insta::assert_snapshot!(views::findings(&findings, false), @"
    ok    clone3: enters cgroups
    note  bus: no system bus
    bad   cgroups: not writable
          run the container with --cgroupns=private
    ");
}

fn parse(line: &str) -> Result<Verb, clap::Error> {
    Ok(Cli::try_parse_from(std::iter::once("stead").chain(line.split(' ')))?.verb)
}

#[test]
fn the_grammar_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn help_fits_a_screen() {
    insta::assert_snapshot!(Cli::command().term_width(100).render_help(), @r#"
    Keeps programs running

    Usage: stead [OPTIONS] <COMMAND>

    Commands:
      start      Start an app: a file, a script, a program, a command line, or one that is known
      stop       Stop gracefully; the app stays known
      restart    Replace what runs, a few at a time; start what is down [alias: reload]
      delete     Stop apps and forget them
      kill       Kill everything of an instance at once (SIGKILL); it stays down
      signal     Send a signal to the main process
      scale      Change how many instances an app has
      list       Show what runs [aliases: ls, status]
      show       Show everything about an app
      logs       Show what apps write
      flush      Empty log files
      reset      Set counters and back-off to zero; what is errored becomes stopped
      check      Check a config file
      plan       Show what starting a config file would do
      init       Write a stead.toml to begin with
      import     Show a config of PM2 or FinalPM, or what PM2 runs, as a stead.toml
      doctor     Look for what is wrong with this host
      save       Keep under a name what runs now and how; a boot needs no save [alias: dump]
      resurrect  Bring up again what was up when it was saved
      upgrade    Replace stead itself by the programs on disk; every app runs on
      shutdown   Stop every app, then stead itself; the next start brings them back
      startup    Make these programs, built from source, a service of systemd
      unstartup  Take back what startup has installed; apps' state and logs stay
      help       Explain a command, or the exit codes

    Options:
      -H, --host <[USER@]HOST,...>  Run the command on these hosts, over ssh. A .toml file of this host
                                    is sent there
      -h, --help                    Print help (see more with '--help')
      -V, --version                 Print version

    Examples:
      stead start worker.py -i 4            four instances
      stead start app.py --memory-max 200M -- --port 80
      stead start stead.toml                what the file describes
      stead list                            what runs
      stead logs api -f                     what it says
      stead restart api                     replace it

    "stead help exit-codes" explains the exit codes.
    "#);
}

#[test]
fn the_short_help_of_start_has_the_common_settings() {
    let mut command = Cli::command().term_width(100);
    command.build();
    let help = command.find_subcommand_mut("start").unwrap().render_help().to_string();
    insta::assert_snapshot!(help, @r#"
    Start an app: a file, a script, a program, a command line, or one that is known

    Usage: stead start [OPTIONS] [TARGET]... [-- <ARGS>...]

    Arguments:
      [TARGET]...  A config file (stead.toml, ecosystem.config.js, process-config.js; - is standard
                   input), a script, a program, a quoted command line, or selectors of known apps;
                   without it, the config here or above
      [ARGS]...    Arguments for the app, after --

    Options:
          --env <K=V|PROFILE>      Set a variable, or select a profile of the file
          --only <APP,...>         Of the file, only these apps
          --inherit-env[=<NAMES>]  Give the app your environment, or these variables of it
          --no-autorestart         The same as --restart never
      -h, --help                   Print help (see more with '--help')

    Settings, as in a config file:
      -n, --name <TEXT>                What the app is called
          --interpreter <TEXT>         What runs the script: a program in PATH, a path, or "none"
          --cwd <PATH>                 The directory it runs in
          --env-file <PATH>            A file of NAME=value lines, read before each run
          --user <NAME>                The user it runs as
      -i, --instances <N|max>          How many instances run
          --ready-on <HOW>             What makes a new instance ready
          --start-timeout <TIME>       How long a new instance may take to be ready, before it is killed
          --stop-signal <SIGNAL>       The signal that asks it to stop
          --stop-timeout <TIME>        How long it may take to stop, before its whole cgroup is killed
          --restart <WORD>             Which ends are followed by a restart [possible values: always,
                                       on-failure, never]
          --restart-delay <TIME>       A fixed delay before each restart
          --max-restarts <N>           Early deaths in a row before stead gives up; 0: never
          --min-uptime <TIME>          A death before this, or before ready, is an early one
          --memory-max <SIZE>          Memory of one instance, children included; over it the kernel
                                       kills the instance
          --max-memory-restart <SIZE>  Memory beyond which an instance is replaced gracefully
    "#);
}

#[test]
fn the_names_that_pm2_taught_people_are_taken() {
    assert!(matches!(parse("ls"), Ok(Verb::List(_))));
    assert!(matches!(parse("status"), Ok(Verb::List(_))));
    assert!(matches!(parse("reload api"), Ok(Verb::Restart(_))));
    assert!(matches!(parse("del api"), Ok(Verb::Delete(_))));
    assert!(matches!(parse("describe api"), Ok(Verb::Show(_))));
    assert!(matches!(parse("log api --nostream"), Ok(Verb::Logs(_))));
    assert!(matches!(parse("sendSignal SIGHUP api"), Ok(Verb::Signal(_))));
}

#[test]
fn arguments_after_two_dashes_are_the_apps_whatever_they_look_like() {
    let Ok(Verb::Start(start)) = parse("start app.js -i 2 --env A=1 --env prod -- --env X -i -- y") else { panic!() };
    assert_eq!(start.targets, ["app.js"]);
    assert_eq!(start.env, ["A=1", "prod"]);
    assert_eq!(start.args, ["--env", "X", "-i", "--", "y"]);
}

#[test]
fn the_environment_is_inherited_whole_or_by_name_and_never_by_accident() {
    let inherited = |line: &str| match parse(line) {
        Ok(Verb::Start(start)) => start.inherit_env,
        other => panic!("{other:?}"),
    };
    assert_eq!(inherited("start app.js"), None);
    assert_eq!(inherited("start --inherit-env app.js"), Some(Vec::new()));
    assert_eq!(inherited("start --inherit-env=A,B app.js"), Some(vec!["A".into(), "B".into()]));
}

#[test]
fn a_count_may_be_relative_and_look_like_a_flag() {
    let Ok(Verb::Scale(scale)) = parse("scale api -1") else { panic!() };
    assert_eq!((scale.app.as_str(), scale.to.as_str()), ("api", "-1"));
    let Ok(Verb::Scale(scale)) = parse("scale api") else { panic!() };
    assert_eq!(scale.to, "");
}

#[test]
fn hosts_stand_before_the_command_and_may_be_several() {
    let hosts = |line: &str| Cli::try_parse_from(line.split(' ')).map(|cli| cli.hosts);
    assert_eq!(hosts("stead -H a,root@b -H c list").unwrap(), ["a", "root@b", "c"]);
    assert_eq!(hosts("stead list").unwrap(), Vec::<String>::new());
    assert!(hosts("stead list -H a").is_err(), "an app's own -H would be taken for ours");
}

#[test]
fn what_is_for_shells_is_in_no_help() {
    assert!(!Cli::command().render_long_help().to_string().contains("__complete"));
}

#[test]
fn verbs_that_change_things_need_a_selector() {
    for verb in ["stop", "restart", "delete", "reset", "flush", "show", "signal HUP"] {
        let error = parse(verb).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{verb}");
    }
    // It has an answer of its own.
    assert!(matches!(parse("kill"), Ok(Verb::Kill(_))));
}

#[test]
fn a_slip_is_answered_with_what_was_probably_meant() {
    assert!(parse("strat app.js").unwrap_err().to_string().contains("'start'"));
    assert!(parse("start app.js --memory-mx 64M").unwrap_err().to_string().contains("--memory-max"));
}

#[test]
fn the_file_that_init_writes_is_right_and_so_is_what_its_comments_suggest() {
    use stead::config::resolve::{Authority, Context, load};
    use stead::config::source::Source;
    let context = Context {
        authority: Authority::Root,
        default_user: Some("bob"),
        base_dir: "/srv",
        cpus: 4,
        unprivileged_port_start: 1024,
        profile: None,
        lookup: &|name| Some(format!("/usr/bin/{name}")),
        is_file: &|path| path == "/srv/server.js" || path == "/srv/worker.py",
    };
    let names = |text: String| {
        let specs = load(Source::new("stead.toml", text), &context).unwrap_or_else(|errors| panic!("{errors}"));
        specs.iter().map(|spec| spec.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(TEMPLATE.to_owned()), ["web"]);
    // Lines that are settings behind a "# ": no prose has " = " or begins with a bracket.
    let is_setting = |line: &str| line.starts_with('[') || line.contains(" = ");
    let all = TEMPLATE.lines().map(|line| match line.strip_prefix("# ") {
        Some(setting) if is_setting(setting) => setting,
        _ => line,
    });
    assert_eq!(names(all.collect::<Vec<_>>().join("\n")), ["web", "worker"]);
}
