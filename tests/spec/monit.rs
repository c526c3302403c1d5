//! What `stead monit` shows and what its keys do: no terminal, no daemon.

use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;
use stead::bus::proxy::{AppDetail, InstanceNews, JobEnd};
use stead::config::raw::Value;
use stead::model::logframe::{LogRecord, LogStream};
use stead::model::selector::Generation;
use stead::model::status::{ExitStatus, InstanceDetail, InstanceStatus, Status};
use stead::model::time::Wall;
use stead::tui::keys::{HELP, Wish};
use stead::tui::model::{Action, Daemon, Mode, Model, Pane, Sort};
use stead::tui::theme::Theme;
use stead::tui::view;

/// 2023-11-14 22:13:20 UTC.
const NOW: u64 = 1_700_000_000_000;

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
        memory_peak_bytes: None,
        memory_limit_bytes: Some(256 << 20),
        cpu_percent: Some(12.5),
        tasks: None,
        ports: vec![8080, 8081, 8082],
        cgroup: Some(format!("stead/app-{app}/{slot}@17")),
        user: "www-data".into(),
        last_exit: None,
        next_time: None,
        waits_for: None,
    }
}

fn oom() -> ExitStatus {
    let (code, message) = (None, None);
    ExitStatus { reason: "oom".into(), code, signal: Some("SIGKILL".into()), at: NOW - 60_000, message }
}

fn rows() -> Vec<InstanceStatus> {
    let errored = InstanceStatus {
        pid: None,
        status: Status::Errored,
        generation: None,
        ready: false,
        uptime_ms: None,
        restarts: 16,
        memory_bytes: None,
        memory_limit_bytes: None,
        cpu_percent: None,
        ports: Vec::new(),
        cgroup: None,
        last_exit: Some(ExitStatus { reason: "exit".into(), code: Some(3), signal: None, ..oom() }),
        ..running(3, "image-resizer", 0)
    };
    let full = InstanceStatus {
        restarts: 2,
        last_exit: Some(oom()),
        memory_bytes: Some(250 << 20),
        cpu_percent: Some(99.0),
        ..running(1, "api", 1)
    };
    let old = InstanceStatus { outdated: true, memory_bytes: Some(192 << 20), ..running(2, "api", 2) };
    vec![running(0, "api", 0), full, old, errored, InstanceStatus { user: "ann".into(), ..running(4, "worker", 0) }]
}

fn detail(row: &InstanceStatus) -> AppDetail {
    let instance = InstanceDetail {
        status: row.clone(),
        memory_anon_bytes: Some(50 << 20),
        memory_file_bytes: Some(14 << 20),
        fds: Some(23),
        sampled: false,
        procs: Vec::new(),
        log_files: vec!["/var/log/stead/api/0.log".into()],
        due_ms: None,
        draining: None,
        notes: Vec::new(),
    };
    AppDetail {
        name: row.app.clone(),
        namespace: "default".into(),
        user: "www-data".into(),
        revision: 3,
        instances_wanted: 3,
        spec: vec![
            ("run".into(), Value::texts(["/usr/bin/node", "/srv/api.js"])),
            ("memory_max".into(), "256M".into()),
        ],
        instances: vec![instance],
    }
}

fn record(text: &str, stream: LogStream, event: bool) -> LogRecord {
    let at = Wall((NOW - 30_000) * 1_000_000);
    LogRecord { at, label: "api/0".into(), stream, partial: false, event, bytes: text.as_bytes().to_vec() }
}

fn empty() -> Model {
    Model::new("web1".into(), TimeZone::UTC)
}

/// As it looks a while after the start.
fn usual() -> Model {
    let mut model = empty();
    model.listed(rows(), NOW);
    model.detailed(Some(detail(&rows()[0])));
    model.log_begins(String::new());
    model.logged(&[
        record("[stead] api/0@17: ready after 120 ms", LogStream::Out, true),
        record("listening on 8080", LogStream::Out, false),
        record("\x1b[31mdeprecated\x1b[0m: do not", LogStream::Err, false),
    ]);
    model
}

fn press(model: &mut Model, keys: &str) -> Option<Wish> {
    let mut wish = None;
    for c in keys.chars() {
        let code = match c {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '\x1b' => KeyCode::Esc,
            '\x08' => KeyCode::Backspace,
            c => KeyCode::Char(c),
        };
        wish = model.key(KeyEvent::new(code, KeyModifiers::NONE));
    }
    wish
}

fn drawn(model: &Model, width: u16, height: u16, color: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(model, frame.buffer_mut(), Theme { color })).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let line = |cells: &[ratatui::buffer::Cell]| {
        cells.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned()
    };
    buffer.content().chunks(width).map(line).collect::<Vec<_>>().join("\n")
}

fn small(model: &Model) -> String {
    text(&drawn(model, 80, 24, false))
}

#[test]
fn eighty_columns_have_the_list_and_one_pane() {
    insta::assert_snapshot!(small(&usual()), @"
     stead monit  web1  5 instances, 4 running, 1 errored     cpu 136%  memory 570M
    instance         status      uptime  restarts     cpu  memory  of limit
    api/0            running         3d         0   12.5%   64.0M  256M   [||      ]
    api/1            running         3d         2   99.0%    250M  256M   [||||||||]
    api/2            running*        3d         0   12.5%    192M  256M   [||||||  ]
    image-resizer/0  errored          -        16       -       -
    worker/0         running         3d         0   12.5%   64.0M  256M   [||      ]





     [log] details  events  api/0
    22:12:50 * api/0@17: ready after 120 ms
    22:12:50 | listening on 8080
    22:12:50 ! deprecated: do not







    ? help  q quit  r restart  l reload app  s stop  u start  c scale  / filter
    ");
}

#[test]
fn two_hundred_columns_have_everything_at_once() {
    insta::assert_snapshot!(text(&drawn(&usual(), 200, 60, false)), @r#"
     stead monit  web1  5 instances, 4 running, 1 errored                                                                                                                             cpu 136%  memory 570M
      id  instance         status          pid  uptime  restarts     cpu  memory  of limit                             ports        user        last exit
       0  api/0            running        4711      3d         0   12.5%   64.0M  256M   [|||||||                   ]  8080-8082    www-data
       1  api/1            running        4712      3d         2   99.0%    250M  256M   [||||||||||||||||||||||||| ]  8080-8082    www-data    oom
       2  api/2            running*       4713      3d         0   12.5%    192M  256M   [||||||||||||||||||||      ]  8080-8082    www-data
       3  image-resizer/0  errored           -       -        16       -       -                                                    www-data    exit 3
       4  worker/0         running        4715      3d         0   12.5%   64.0M  256M   [|||||||                   ]  8080-8082    ann























     [log] api/0                                                                                                              details  api/0
    22:12:50 * api/0@17: ready after 120 ms                                                                                 status        running, ready
    22:12:50 | listening on 8080                                                                                            pid           4711
    22:12:50 ! deprecated: do not                                                                                           user          www-data
                                                                                                                            uptime        3d 4h
                                                                                                                            restarts      0
                                                                                                                            memory        64.0M
                                                                                                                              limit       256M
                                                                                                                              anonymous   50.0M
                                                                                                                              file        14.0M
                                                                                                                            cpu           12.5%
                                                                                                                            open files    23
                                                                                                                            ports         8080-8082
                                                                                                                            cgroup        stead/app-api/0@17
                                                                                                                            log           /var/log/stead/api/0.log
                                                                                                                            instances     3
                                                                                                                            namespace     default
                                                                                                                            revision      3
                                                                                                                            settings
                                                                                                                              run         ["/usr/bin/node", "/srv/api.js"]
                                                                                                                              memory_max  "256M"
                                                                                                                              events
                                                                                                                            22:12:20 api/1 ended (oom, SIGKILL)
                                                                                                                            22:12:20 image-resizer/0 ended (exit, code 3)





    ? help  q quit  r restart  l reload app  s stop  u start  c scale  / filter  o order  Tab pane
    "#);
}

#[test]
fn without_colours_there_are_none_and_the_same_is_said() {
    let model = usual();
    let (plain, colored) = (drawn(&model, 200, 60, false), drawn(&model, 200, 60, true));
    assert!(plain.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert!(colored.content().iter().any(|cell| cell.fg == Color::Red));
    assert_eq!(text(&plain), text(&colored));
}

#[test]
fn with_no_app_it_says_how_to_start_one() {
    let mut model = empty();
    model.listed(Vec::new(), NOW);
    insta::assert_snapshot!(small(&model), @r#"
     stead monit  web1  0 instances                             cpu 0.0%  memory 0B
    instance  status          pid  uptime  restarts     cpu  memory  user
     no app yet: "stead start app.js" starts one









     [log] details  events










    ? help  q quit  r restart  l reload app  s stop  u start  c scale  / filter
    "#);
}

#[test]
fn a_filter_shows_what_has_the_text_while_it_is_typed_and_escape_takes_it_back() {
    let mut model = usual();
    press(&mut model, "/Err");
    insta::assert_snapshot!(small(&model), @r#"
     stead monit  web1  1 with "Err" of 5 instances, 4 running, 1 errored
    instance         status      uptime  restarts     cpu  memory  of limit
    image-resizer/0  errored          -        16       -       -









     [log] details  events  image-resizer/0










    filter: Err_   Enter keeps it, Esc leaves it
    "#);
    press(&mut model, "\n");
    assert_eq!((model.filter.as_str(), model.shown().len()), ("Err", 1));
    press(&mut model, "/x\x1b");
    assert_eq!(model.filter, "Err", "what was typed is left");
    press(&mut model, "\x1b");
    assert_eq!(model.shown().len(), 5);
    press(&mut model, "/nothing of that name");
    assert!(small(&model).contains("nothing passes the filter: Esc shows all"));
    assert_eq!(press(&mut model, "\nr"), None, "there is nothing to restart");
    assert_eq!(model.mode, Mode::Browse);
}

#[test]
fn nothing_is_done_before_a_yes_to_a_question_that_names_it() {
    let mut model = usual();
    assert_eq!(press(&mut model, "S"), None);
    insta::assert_snapshot!(small(&model), @"
     stead monit  web1  5 instances, 4 running, 1 errored     cpu 136%  memory 570M
    instance         status      uptime  restarts     cpu  memory  of limit
    api/0            running         3d         0   12.5%   64.0M  256M   [||      ]
    api/1            running         3d         2   99.0%    250M  256M   [||||||||]
    api/2            running*        3d         0   12.5%    192M  256M   [||||||  ]
    image-resizer/0  errored          -        16       -       -
    worker/0         running         3d         0   12.5%   64.0M  256M   [||      ]


                            +- sure? ---------------------+
                            | Stop api (all 3 instances)? |
                            |                             |
     [log] details  events  | y  yes      n  no           |
    22:12:50 * api/0@17: rea+-----------------------------+
    22:12:50 | listening on 8080
    22:12:50 ! deprecated: do not







    ? help  q quit  r restart  l reload app  s stop  u start  c scale  / filter
    ");
    assert_eq!(press(&mut model, "x"), None);
    assert_eq!(model.mode, Mode::Confirm(Action::Stop("api".into())), "a slip is no answer");
    assert_eq!(press(&mut model, "n"), None);
    assert_eq!(model.mode, Mode::Browse);
    let api = || "api".to_owned();
    for (keys, action) in [
        ("ry", Action::Restart("api/0".into())),
        ("r\n", Action::Restart("api/0".into())),
        ("ly", Action::Restart(api())),
        ("sy", Action::Stop("api/0".into())),
        ("Sy", Action::Stop(api())),
        ("uy", Action::Start("api/0".into())),
        ("c5\n", Action::Scale(api(), "5".into())),
        ("c-1\n", Action::Scale(api(), "-1".into())),
        ("c12\x08\n", Action::Scale(api(), "1".into())),
        ("cx+-\n+2\n", Action::Scale(api(), "+2".into())),
        ("c\n", Action::Scale(api(), String::new())),
    ] {
        assert_eq!(press(&mut model, keys), Some(Wish::Do(action)), "{keys:?}");
    }
    assert_eq!(press(&mut model, "c7\x1b"), None);
}

#[test]
fn a_count_is_asked_for_with_how_many_there_are() {
    let mut model = usual();
    press(&mut model, "c+2");
    insta::assert_snapshot!(small(&model), @"
     stead monit  web1  5 instances, 4 running, 1 errored     cpu 136%  memory 570M
    instance         status      uptime  restarts     cpu  memory  of limit
    api/0            running         3d         0   12.5%   64.0M  256M   [||      ]
    api/1            running         3d         2   99.0%    250M  256M   [||||||||]
    api/2            running*        3d         0   12.5%    192M  256M   [||||||  ]
    image-resizer/0  errored          -        16       -       -
    worker/0         running         3d         0   12.5%   64.0M  256M   [||      ]

                    +- scale --------------------------------------+
                    | api has 3 instances. How many is it to have? |
                    |                                              |
                    | > +2_                                        |
     [log] details  |                                              |
    22:12:50 * api/0| A number, or +N, -N; nothing: as configured. |
    22:12:50 | liste| Enter does it, Esc leaves it.                |
    22:12:50 ! depre+----------------------------------------------+







    ? help  q quit  r restart  l reload app  s stop  u start  c scale  / filter
    ");
}

#[test]
fn what_the_daemon_refuses_is_seen_and_any_key_goes_on() {
    let mut model = usual();
    press(&mut model, "ly");
    assert!(small(&model).ends_with("restart api ..."));
    let why =
        "ended before it was ready (exit, code 1): see its log. The previous revision is brought back and runs on";
    let news = |instance: &str, result: &str, why: &str| InstanceNews {
        instance: instance.into(),
        result: result.into(),
        why: why.into(),
    };
    let instances = vec![news("api/0", "replaced", ""), news("api/1", "failed", why)];
    model.done(&Action::Restart("api".into()), Ok(JobEnd { failed: true, instances, notes: Vec::new() }));
    insta::assert_snapshot!(small(&model), @"
     stead monit  web1  5 instances, 4 running, 1 errored     cpu 136%  memory 570M
    instance         status      uptime  restarts     cpu  memory  of limit
    api/0            running         3d         0   12.5%   64.0M  256M   [||      ]
    api/1            running         3d         2   99.0%    250M  256M   [||||||||]
    api/2            running*        3d         0   12.5%    192M  256M   [||||||  ]
    image-resizer/0  errored          -        16       -       -
    worker/0         running         3d         0   12.5%   64.0M  256M   [||      ]


     +- restart api: failed ------------------------------------------------------+
     | api/1: ended before it was ready (exit, code 1): see its log. The previous |
     | revision is brought back and runs on                                       |
     |                                                                            |
    2| Any key closes this.                                                       |
    2+----------------------------------------------------------------------------+
    22:12:50 ! deprecated: do not







    restart api: failed
    ");
    press(&mut model, "q");
    assert_eq!(model.mode, Mode::Browse);
    let refused = Err("polkit says no\x1b[2J".to_owned());
    model.done(&Action::Stop("api".into()), refused);
    assert!(small(&model).contains("polkit says no"));
}

#[test]
fn an_action_that_is_done_is_reported_in_the_last_line_until_the_next_key() {
    let mut model = usual();
    press(&mut model, "ry");
    let instances = vec![InstanceNews { instance: "api/0".into(), result: "replaced".into(), why: String::new() }];
    let notes = vec!["api is replaced old-first: `share_ports` is off".to_owned()];
    model.done(&Action::Restart("api/0".into()), Ok(JobEnd { failed: false, instances, notes }));
    assert!(small(&model).ends_with("api/0 replaced; api is replaced old-first: `share_ports` is off"));
    press(&mut model, "j");
    assert!(small(&model).lines().last().unwrap().starts_with("? help  q quit"), "{}", small(&model));
}

#[test]
fn help_has_every_key() {
    let mut model = usual();
    press(&mut model, "?");
    insta::assert_snapshot!(small(&model), @"
     stead monit  web1  5 instances, 4 running, 1 errored     cpu 136%  memory 570M
    instance         status      uptime  restarts     cpu  memory  of limit
    api/0            running         3d         0   12.5%   64.0M  256M   [||      ]
    a+- keys ---------------------------------------------------------------------+]
    a| up down, k j              select another instance                          |]
    i| PgUp PgDn, Home End, g G  the same, further                                |
    w| r                         restart the instance                             |]
     | l                         reload its app: all instances, a few at a time   |
     | s                         stop the instance                                |
     | S                         stop its app                                     |
     | u                         start the instance, if it is down                |
     | c                         change how many instances its app has            |
     | /                         show only rows with a text in name, status, user |
    2| o                         order by status, cpu, memory, restarts, uptime   |
    2| O                         the other way round                              |
    2| Tab                       what stands below: log, details, events          |
     | K J                       scroll it up and down; left and right, too       |
     | Esc                       leave a question, a filter, a place in the log   |
     | Ctrl-L, Ctrl-Z            draw anew; suspend                               |
     | q, Ctrl-C                 quit; everything runs on                         |
     +----------------------------------------------------------------------------+


    ? help  q quit  r restart  l reload app  s stop  u start  c scale  / filter
    ");
    for (_, what, _) in HELP {
        assert!(small(&model).contains(what), "{what}");
    }
}

#[test]
fn a_daemon_that_does_not_answer_is_said_and_its_return_too() {
    let mut model = usual();
    model.lost("the daemon went down before it answered".into(), NOW + 1000);
    insta::assert_snapshot!(small(&model), @"
     stead monit  web1  the daemon does not answer: trying again
    instance         status      uptime  restarts     cpu  memory  of limit
    api/0            running         3d         0   12.5%   64.0M  256M   [||      ]
    api/1            running         3d         2   99.0%    250M  256M   [||||||||]
    api/2            running*        3d         0   12.5%    192M  256M   [||||||  ]
    image-resizer/0  errored          -        16       -       -
    worker/0         running         3d         0   12.5%   64.0M  256M   [||      ]





     [log] details  events  api/0
    22:12:50 * api/0@17: ready after 120 ms
    22:12:50 | listening on 8080
    22:12:50 ! deprecated: do not







    the daemon went down before it answered
    ");
    assert!(matches!(model.daemon, Daemon::Lost { .. }));
    model.listed(rows(), NOW + 3000);
    press(&mut model, "\t\t");
    let text = small(&model);
    assert!(text.contains("22:13:21 stead the daemon does not answer"), "{text}");
    assert!(text.contains("22:13:23 stead the daemon answers again"), "{text}");
}

#[test]
fn what_happens_between_two_lists_is_told_as_events() {
    let mut model = usual();
    let mut now = rows();
    let ended = ExitStatus { reason: "signal".into(), at: NOW + 500, ..oom() };
    now[0] = InstanceStatus { pid: Some(5000), restarts: 1, last_exit: Some(ended), ..now[0].clone() };
    now[1].restarts = 5;
    now[2] = InstanceStatus { status: Status::Stopping, ..now[2].clone() };
    now.remove(4);
    now.push(running(9, "zebra", 0));
    model.listed(now, NOW + 1000);
    press(&mut model, "\t\t");
    assert_eq!(model.pane, Pane::Events);
    insta::assert_snapshot!(small(&model).lines().skip(13).collect::<Vec<_>>().join("\n"), @"
    22:12:20 api/1 ended (oom, SIGKILL)
    22:12:20 image-resizer/0 ended (exit, code 3)
    22:13:20 api/0 ended (signal, SIGKILL), restart 1
    22:13:21 worker/0 gone
    22:13:21 api/0 running, pid 5000
    22:13:21 api/1 3 restarts, 5 in all
    22:13:21 api/2 stopping
    22:13:21 zebra/0 new, running


    ? help  q quit  r restart  l reload app  s stop  u start  c scale  / filter
    ");
}

#[test]
fn details_have_figures_and_settings() {
    let mut model = usual();
    press(&mut model, "\t");
    insta::assert_snapshot!(text(&drawn(&model, 100, 50, false)).lines().skip(25).collect::<Vec<_>>().join("\n"), @r#"
      log [details] events  api/0
    status        running, ready
    pid           4711
    user          www-data
    uptime        3d 4h
    restarts      0
    memory        64.0M
      limit       256M
      anonymous   50.0M
      file        14.0M
    cpu           12.5%
    open files    23
    ports         8080-8082
    cgroup        stead/app-api/0@17
    log           /var/log/stead/api/0.log
    instances     3
    namespace     default
    revision      3
    settings
      run         ["/usr/bin/node", "/srv/api.js"]
      memory_max  "256M"



    ? help  q quit  r restart  l reload app  s stop  u start  c scale  / filter  o order  Tab pane
    "#);
    press(&mut model, "JJ");
    assert!(small(&model).contains("/srv/api.js"), "scrolled\n{}", small(&model));
}

#[test]
fn rows_are_ordered_by_what_is_wished_and_the_selected_one_stays_selected() {
    let mut model = usual();
    press(&mut model, "j");
    let order = |model: &Model| model.shown().map(|row| row.instance.clone()).collect::<Vec<_>>().join(" ");
    let selected = |model: &Model| model.selected().map(|row| row.instance.clone());
    assert_eq!(selected(&model).as_deref(), Some("api/1"));
    for (sort, expected) in [
        (Sort::Status, "image-resizer/0 api/0 api/1 api/2 worker/0"),
        (Sort::Cpu, "api/1 api/0 api/2 worker/0 image-resizer/0"),
        (Sort::Memory, "api/1 api/2 api/0 worker/0 image-resizer/0"),
        (Sort::Restarts, "image-resizer/0 api/1 api/0 api/2 worker/0"),
        (Sort::Uptime, "api/0 api/1 api/2 worker/0 image-resizer/0"),
        (Sort::Name, "api/0 api/1 api/2 image-resizer/0 worker/0"),
    ] {
        press(&mut model, "o");
        assert_eq!((model.sort, order(&model).as_str()), (sort, expected));
        assert_eq!(selected(&model).as_deref(), Some("api/1"));
    }
    press(&mut model, "O");
    assert_eq!(order(&model), "worker/0 image-resizer/0 api/2 api/1 api/0");
    // Its neighbour, when it goes.
    let mut fewer = rows();
    fewer.remove(1);
    model.listed(fewer, NOW);
    assert_eq!(selected(&model).as_deref(), Some("api/0"));
    model.listed(Vec::new(), NOW);
    assert_eq!(selected(&model), None);
}

#[test]
fn a_long_list_is_shown_a_page_at_a_time() {
    let mut model = empty();
    model.listed((0..300).map(|slot| running(slot, "app", slot)).collect(), NOW);
    assert!(small(&model).contains("1-10 of 300"), "{}", small(&model));
    let first_page = small(&model);
    press(&mut model, "jjj");
    let moved = drawn(&model, 80, 24, false);
    let differing = first_page.lines().zip(text(&moved).lines()).filter(|(old, new)| old != new).count();
    assert_eq!(differing, 1, "only the pane's title names another one");
    press(&mut model, "jjjjjjjj");
    assert!(small(&model).contains("11-20 of 300"));
    press(&mut model, "G");
    assert!(small(&model).contains("291-300 of 300") && small(&model).contains("app/299"));
    press(&mut model, "g");
    assert!(small(&model).contains("1-10 of 300"));
}

#[test]
fn a_log_is_read_further_up_while_it_grows() {
    let mut model = usual();
    let line = |n: usize| record(&format!("line {n}."), LogStream::Out, false);
    model.logged(&(0..100).map(line).collect::<Vec<_>>());
    assert!(small(&model).contains("line 99."));
    press(&mut model, "KK");
    let before = small(&model);
    assert!(before.contains("line 89.") && !before.contains("line 99."), "{before}");
    model.logged(&(100..150).map(line).collect::<Vec<_>>());
    assert_eq!(small(&model), before, "the same lines are read on");
    press(&mut model, "\x1b");
    assert!(small(&model).contains("line 149."));
}

#[test]
fn no_size_is_too_small_for_it_and_none_too_large() {
    let mut dialogs = [usual(), usual(), usual(), usual()];
    for (model, keys) in dialogs.iter_mut().zip(["", "?", "S", "c"]) {
        press(model, keys);
    }
    for (width, height) in
        [(1, 1), (2, 5), (39, 10), (40, 9), (40, 10), (41, 11), (80, 12), (119, 29), (120, 30), (400, 150)]
    {
        for model in &dialogs {
            drawn(model, width, height, true);
        }
    }
    assert!(text(&drawn(&usual(), 30, 5, false)).contains("too small"));
}

#[test]
fn names_in_any_script_keep_their_columns() {
    let mut model = empty();
    let wide = InstanceStatus { user: "日本語ユーザー".into(), ..running(0, "api", 0) };
    model.listed(vec![wide, running(1, "api", 1)], NOW);
    let text = text(&drawn(&model, 200, 60, false));
    assert!(text.contains("日 本 語"), "{text}");
}

#[test]
fn control_c_quits_whatever_is_asked() {
    for keys in ["", "/", "r", "c", "?"] {
        let mut model = usual();
        press(&mut model, keys);
        let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(model.key(key), Some(Wish::Quit), "{keys:?}");
    }
}
