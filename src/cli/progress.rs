//! How a long action is going.
//! Owns: the bar on a terminal's stderr. Piped, there is none: what happened is said at the end.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::bus::proxy::JobNews;

/// A bar with one step for each instance concerned. Gone from the screen when dropped.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// `verb` is what goes on: `starting`.
    pub fn new(verb: &'static str, terminal: bool) -> Self {
        let bar = if terminal {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        } else {
            ProgressBar::hidden()
        };
        let style = ProgressStyle::with_template("{prefix} [{bar:24}] {pos}/{len} {wide_msg}")
            .expect("the template is a constant, and a test draws it")
            .progress_chars("=> ");
        bar.set_style(style);
        bar.set_prefix(verb);
        Self { bar }
    }

    /// Takes one piece of a job's news.
    pub fn news(&self, news: &JobNews) {
        match news {
            JobNews::New { instances } => self.bar.set_length(instances.len() as u64),
            JobNews::Progress(news) => {
                self.bar.set_message(format!("{} {}", news.instance, news.result));
                self.bar.inc(1);
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_counts_instances() {
        let progress = Progress::new("starting", false);
        progress.news(&JobNews::New { instances: vec!["api/0".into(), "api/1".into()] });
        assert_eq!((progress.bar.position(), progress.bar.length()), (0, Some(2)));
    }
}
