//! Where PM2's apps write, and in which form.
//! Owns: the one `log_format` that several keys of PM2 amount to.

use super::given::Given;
use super::{Import, ImportedApp};
use crate::config::error::quoted;
use crate::config::raw::Value;

impl Import<'_> {
    pub(super) fn logs(&mut self, given: &Given<'_>, out: &mut ImportedApp, cwd: &str) {
        let nowhere = |path: &str| matches!(path, "/dev/null" | "NULL");
        let (file, error) = (self.text(given, "out_file"), self.text(given, "error_file"));
        let time = self.text(given, "log_date_format").map(|(key, format)| (key, format.to_owned()));
        let time = time.or_else(|| match self.boolean(given, "time") {
            Some((key, true)) => Some((key, "YYYY-MM-DDTHH:mm:ss".to_owned())),
            _ => None,
        });
        let json = match self.text(given, "log_type") {
            Some((_, "json")) => true,
            Some((key, other)) => {
                self.ignore(key, format!("PM2 knows no type {}, either: only \"json\"", quoted(other)));
                false
            }
            None => false,
        };
        if let Some((key, true)) = self.boolean(given, "merge_logs") {
            self.set(out, key, "merge_logs", Value::Bool(true));
        }
        let off = self.boolean(given, "disable_logs").filter(|(_, off)| *off);
        let both_off = [file, error].into_iter().all(|given| given.is_some_and(|(_, path)| nowhere(path)));
        if off.is_some() || both_off {
            let key = off.or(file.map(|(key, _)| (key, true))).map_or("disable_logs", |(key, _)| key);
            return self.set(out, key, "log_format", "none".into());
        }
        let mut paths = Vec::new();
        for (given, ours) in [(file, "out_file"), (error, "error_file")] {
            match given {
                Some((key, path)) if nowhere(path) => self.ignore(key, "stead keeps both streams, or none"),
                Some((key, path)) => paths.push((key, ours, self.absolute(cwd, path))),
                None => {}
            }
        }
        if json {
            self.set(out, given.get("log_type").map_or("log_type", |(key, _)| key), "log_format", "json".into());
            for (key, ours, path) in paths {
                match ours {
                    "out_file" => self.set(out, key, ours, path.into()),
                    _ => self
                        .ignore(key, "with `log_type: \"json\"` both streams are in one file, each line with its own"),
                }
            }
            return;
        }
        if let Some((key, format)) = time {
            self.set(out, key, "log_date_format", format.into());
        }
        let dated = out.raw.get("log_date_format").map(|_| "log_date_format");
        if let Some(key) = paths.first().map(|(key, ..)| *key).or(dated) {
            self.set(out, key, "log_format", "raw".into());
        }
        for (key, ours, path) in paths {
            self.set(out, key, ours, path.into());
        }
    }
}
