//! The terminal: taken for as long as it is drawn on, and given back as it was.
//! Owns: raw mode, the alternate screen, the cursor, and what stands on the screen now.
//! Never: leaves any of it behind, whatever ends the program but SIGKILL; or writes a byte when nothing has changed.

use std::io::{self, BufWriter, Stdout, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::backend::{Backend, ClearType, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::crossterm::{execute, queue};
use ratatui::layout::Rect;

/// A frame that fits is one write.
const FRAME: usize = 64 << 10;

/// The terminal is ours. One for the process: it has one terminal, and a panic hook must know without being told.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// What is drawn on. The terminal is given back when it is dropped.
#[derive(Debug)]
pub struct Screen {
    surface: Surface<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Screen {
    pub fn take() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                // First, so that its words can be read.
                give_back();
                before(info);
            }));
        });
        take()?;
        let backend = CrosstermBackend::new(BufWriter::with_capacity(FRAME, io::stdout()));
        let surface = Surface::new(backend).inspect_err(|_| give_back())?;
        Ok(Self { surface })
    }

    /// Draws what has changed.
    pub fn show(&mut self, draw: impl FnOnce(&mut Buffer)) -> io::Result<()> {
        self.surface.show(draw)
    }

    /// Everything is drawn anew, at the size that the terminal has now.
    pub fn renew(&mut self) -> io::Result<()> {
        self.surface.renew()
    }

    /// Gives the terminal back while `while_away` runs, and takes it again.
    pub fn away(&mut self, while_away: impl FnOnce()) -> io::Result<()> {
        give_back();
        while_away();
        take()?;
        self.surface.renew()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    TAKEN.store(true, Ordering::SeqCst);
    let taken = enable_raw_mode().and_then(|()| execute!(io::stdout(), EnterAlternateScreen, Hide));
    taken.inspect_err(|_| give_back())
}

/// What cannot be undone is on a terminal that is gone.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let mut out = io::stdout();
        let _ = queue!(out, Show, LeaveAlternateScreen);
        let _ = out.flush();
        let _ = disable_raw_mode();
    }
}

/// What stands on a terminal, of whatever kind.
#[derive(Debug)]
struct Surface<B: Backend> {
    backend: B,
    stands: Buffer,
}

impl<B: Backend> Surface<B> {
    fn new(backend: B) -> Result<Self, B::Error> {
        let size = backend.size()?;
        Ok(Self { backend, stands: Buffer::empty(Rect::from((ratatui::layout::Position::ORIGIN, size))) })
    }

    fn show(&mut self, draw: impl FnOnce(&mut Buffer)) -> Result<(), B::Error> {
        let mut next = Buffer::empty(self.stands.area);
        draw(&mut next);
        let changes = self.stands.diff(&next);
        if !changes.is_empty() {
            self.backend.draw(changes.into_iter())?;
            self.backend.flush()?;
            self.stands = next;
        }
        Ok(())
    }

    fn renew(&mut self) -> Result<(), B::Error> {
        let size = self.backend.size()?;
        self.backend.clear_region(ClearType::All)?;
        self.stands = Buffer::empty(Rect::from((ratatui::layout::Position::ORIGIN, size)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Cell;
    use ratatui::layout::{Position, Size};
    use ratatui::style::Style;

    use super::*;

    /// Counts what is drawn.
    struct Counting {
        inner: TestBackend,
        cells: usize,
        flushes: usize,
    }

    impl Backend for Counting {
        type Error = core::convert::Infallible;

        fn draw<'a, I: Iterator<Item = (u16, u16, &'a Cell)>>(&mut self, content: I) -> Result<(), Self::Error> {
            let content: Vec<_> = content.collect();
            self.cells += content.len();
            self.inner.draw(content.into_iter())
        }
        fn hide_cursor(&mut self) -> Result<(), Self::Error> {
            unreachable!("it is hidden once, when the terminal is taken")
        }
        fn show_cursor(&mut self) -> Result<(), Self::Error> {
            unreachable!("it is shown once, when the terminal is given back")
        }
        fn get_cursor_position(&mut self) -> Result<Position, Self::Error> {
            self.inner.get_cursor_position()
        }
        fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> Result<(), Self::Error> {
            self.inner.set_cursor_position(position)
        }
        fn clear(&mut self) -> Result<(), Self::Error> {
            self.inner.clear()
        }
        fn clear_region(&mut self, kind: ClearType) -> Result<(), Self::Error> {
            self.inner.clear_region(kind)
        }
        fn size(&self) -> Result<Size, Self::Error> {
            self.inner.size()
        }
        fn window_size(&mut self) -> Result<ratatui::backend::WindowSize, Self::Error> {
            self.inner.window_size()
        }
        fn flush(&mut self) -> Result<(), Self::Error> {
            self.flushes += 1;
            self.inner.flush()
        }
    }

    #[test]
    fn only_what_changed_is_written_and_nothing_if_nothing_did() {
        let mut surface = Surface::new(Counting { inner: TestBackend::new(20, 3), cells: 0, flushes: 0 }).unwrap();
        let write = |text: &'static str| move |buffer: &mut Buffer| buffer.set_string(0, 1, text, Style::new());
        surface.show(write("cpu 12.5%")).unwrap();
        // A space is what an empty screen has there.
        assert_eq!((surface.backend.cells, surface.backend.flushes), (8, 1));
        surface.show(write("cpu 12.5%")).unwrap();
        assert_eq!((surface.backend.cells, surface.backend.flushes), (8, 1));
        surface.show(write("cpu 13.5%")).unwrap();
        assert_eq!((surface.backend.cells, surface.backend.flushes), (9, 2));
        surface.backend.inner.resize(30, 3);
        surface.renew().unwrap();
        surface.show(write("cpu 13.5%")).unwrap();
        assert_eq!(surface.backend.cells, 9 + 8);
        assert_eq!(surface.stands.area.width, 30);
    }
}
