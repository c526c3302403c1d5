//! `stead monit`: what runs, live, on a whole screen.
//! Owns: the loop between keys, news and the screen. What is shown and what keys do is `model` and `keys`, without a
//! terminal and without a daemon; how it looks is `view`.
//! Never: does what only the daemon may; it is one more client. Draws more often than a key or news comes.

#![forbid(unsafe_code)]

mod canvas;
mod details;
mod dialog;
mod events;
mod feed;
pub mod keys;
mod log;
pub mod model;
pub mod screen;
mod table;
pub mod theme;
pub mod view;

use std::io;

use nix::sys::signal::{Signal, raise};
use ratatui::crossterm::event::{self, Event};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, Notify, mpsc, watch};

use crate::bus::proxy::{AppDetail, Client, ClientError, JobEnd};
use feed::News;
use keys::Wish;
use model::{Action, Model};
use screen::Screen;
use theme::Theme;

/// The way to the daemon, and what is said of trouble on it.
pub trait Connect {
    fn connect(&self) -> impl Future<Output = Result<Client, String>>;
    fn words(&self, error: ClientError) -> String;
}

/// How it is to look, and what it cannot know by itself.
#[derive(Debug)]
pub struct Settings {
    pub host: String,
    pub color: bool,
    pub zone: jiff::tz::TimeZone,
    pub clock: fn() -> jiff::Timestamp,
}

/// Shows it until the person, or a signal, ends it.
pub async fn run(settings: Settings, connect: &impl Connect) -> io::Result<()> {
    let (wish, wishes) = mpsc::channel::<Action>(64);
    let (tell, news) = mpsc::channel(4);
    let (done, outcomes) = mpsc::channel(64);
    let (selected, follow) = watch::channel(None);
    let (hurry, wishes) = (Notify::new(), Mutex::new(wishes));
    // Four actions go on at once; more wait.
    let actor = || act(connect, &wishes, &done);
    let shown = show(settings, Wires { wish, selected, hurry: &hurry, news, outcomes });
    tokio::select! {
        ended = shown => ended,
        () = feed::serve(connect, follow, &hurry, tell) => Ok(()),
        _ = async { tokio::join!(actor(), actor(), actor(), actor()) } => Ok(()),
    }
}

/// From the screen to what serves it, and back.
struct Wires<'a> {
    wish: mpsc::Sender<Action>,
    selected: watch::Sender<Option<String>>,
    hurry: &'a Notify,
    news: mpsc::Receiver<News>,
    outcomes: mpsc::Receiver<(Action, Result<JobEnd, String>)>,
}

async fn show(settings: Settings, mut wires: Wires<'_>) -> io::Result<()> {
    let theme = Theme { color: settings.color };
    let mut model = Model::new(settings.host, settings.zone);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut screen = Screen::take()?;
    let mut keys = read_keys();
    loop {
        screen.show(|buffer| view::draw(&model, buffer, theme))?;
        tokio::select! {
            key = keys.recv() => {
                let Some(key) = key else { return Ok(()) };
                // All that were pressed while the last frame was drawn are worth one.
                let mut next = Some(key);
                while let Some(key) = next {
                    if !press(&mut model, &mut screen, &key, &wires.wish)? {
                        return Ok(());
                    }
                    next = keys.try_recv().ok();
                }
            }
            Some(news) = wires.news.recv() => hear(&mut model, news, (settings.clock)()),
            Some((action, result)) = wires.outcomes.recv() => {
                model.done(&action, result);
                wires.hurry.notify_one();
            }
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
        }
        let instance = model.selected().map(|row| row.instance.clone());
        wires.selected.send_if_modified(|known| {
            let changed = *known != instance;
            *known = instance;
            changed
        });
    }
}

/// False: it is the end.
fn press(model: &mut Model, screen: &mut Screen, event: &Event, wish: &mpsc::Sender<Action>) -> io::Result<bool> {
    let wished = match event {
        Event::Key(key) => model.key(*key),
        Event::Resize(..) => Some(Wish::Redraw),
        _ => None,
    };
    match wished {
        None => {}
        Some(Wish::Quit) => return Ok(false),
        Some(Wish::Redraw) => screen.renew()?,
        // Goes on here once somebody says so (SIGCONT).
        Some(Wish::Suspend) => screen.away(|| {
            let _ = raise(Signal::SIGTSTP);
        })?,
        Some(Wish::Do(action)) => {
            if let Err(error) = wish.try_send(action) {
                model.done(&error.into_inner(), Err("too much is going on already".to_owned()));
            }
        }
    }
    Ok(true)
}

fn hear(model: &mut Model, news: News, now: jiff::Timestamp) {
    let now = u64::try_from(now.as_millisecond()).unwrap_or(0);
    match news {
        News::Listed { rows, detail, records } => {
            model.listed(rows, now);
            let of_selected = |detail: &AppDetail| {
                model
                    .selected()
                    .is_some_and(|row| detail.instances.iter().any(|one| one.status.instance == row.instance))
            };
            let detail = detail.map(|detail| *detail).filter(of_selected);
            model.detailed(detail);
            model.logged(&records);
        }
        News::Log { instance, records, remark } => {
            if model.selected().is_some_and(|row| row.instance == instance) {
                model.log_begins(remark);
                model.logged(&records);
            }
        }
        News::Lost { why } => model.lost(why, now),
    }
}

/// Carries out one action after the other, each on a connection of its own: a roll may take minutes.
async fn act(
    connect: &impl Connect,
    wishes: &Mutex<mpsc::Receiver<Action>>,
    done: &mpsc::Sender<(Action, Result<JobEnd, String>)>,
) {
    loop {
        let wished = wishes.lock().await.recv().await;
        let Some(action) = wished else { return std::future::pending().await };
        let result = carry_out(connect, &action).await;
        let _ = done.send((action, result)).await;
    }
}

async fn carry_out(connect: &impl Connect, action: &Action) -> Result<JobEnd, String> {
    let mut client = connect.connect().await?;
    let quiet = &mut |_| {};
    let end = match action {
        Action::Start(what) => client.act("Start", std::slice::from_ref(what), quiet).await,
        Action::Restart(what) => client.act("Restart", std::slice::from_ref(what), quiet).await,
        Action::Stop(what) => client.act("Stop", std::slice::from_ref(what), quiet).await,
        Action::Scale(app, to) => client.scale(app, to, quiet).await,
    };
    end.map_err(|error| connect.words(error))
}

/// Keys and changes of size, read on a thread of its own, which ends with the process.
fn read_keys() -> mpsc::Receiver<Event> {
    let (send, receive) = mpsc::channel(256);
    std::thread::spawn(move || {
        // An error: the terminal is gone.
        while let Ok(event) = event::read() {
            if send.blocking_send(event).is_err() {
                return;
            }
        }
    });
    receive
}
