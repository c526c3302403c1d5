//! Variables of PM2's and FinalPM's apps: their own, those of an environment, and those they inherit.
//! Owns: which of them counts most, and the text of a value that is none.

use serde_json::{Map, Value as Json};

use super::given::{Given, scalar};
use super::program::Program;
use super::{Import, ImportedApp};
use crate::config::fields::RESERVED;
use crate::config::raw::Value;

impl Import<'_> {
    pub(super) fn variables(
        &mut self,
        given: &Given<'_>,
        out: &mut ImportedApp,
        program: &Program,
        deploy: &Map<String, Json>,
    ) {
        for name in ["instance_var", "increment_var"] {
            if let Some((key, text)) = self.text(given, name) {
                self.set(out, key, name, text.into());
            }
        }
        let counts = given.str("instance_var").map(str::to_owned);
        let mut env = match given.get("env") {
            Some((key, value)) => self.env(given, key, value, counts.as_deref()),
            None => Vec::new(),
        };
        let mut put = |name: &str, value: String| {
            env.retain(|(known, _)| known != name);
            env.push((name.to_owned(), Value::Str(value)));
        };
        if let Some((_, port)) = self.number(given, "port", "the number of a port").filter(|(_, port)| *port != 0) {
            put("PORT", port.to_string());
        }
        if program.python {
            put("PYTHONUNBUFFERED", "1".to_owned());
        }
        let mut profiles = Vec::new();
        let named = given.profiles.iter().map(|(profile, _)| *profile);
        let mut all: Vec<&str> = named.chain(deploy.keys().map(String::as_str)).collect();
        all.sort_unstable();
        all.dedup();
        for profile in all {
            let mut variables: Vec<(String, Value)> = Vec::new();
            if let Some(of_all) = deploy.get(profile).and_then(|of| of.get("env")) {
                variables = self.env(given, &format!("deploy.{profile}.env"), of_all, counts.as_deref());
            }
            if let Some((_, own)) = given.profiles.iter().find(|(name, _)| *name == profile) {
                let own = self.env(given, &format!("env_{profile}"), own, counts.as_deref());
                variables.retain(|(name, _)| !own.iter().any(|(known, _)| known == name));
                variables.extend(own);
            }
            let chosen = self.ground.profile == Some(profile);
            if !variables.is_empty() || chosen || given.profiles.iter().any(|(name, _)| *name == profile) {
                profiles.push((profile.to_owned(), Value::table([("env".to_owned(), Value::table(variables))])));
            }
        }
        if !env.is_empty() {
            self.set(out, given.get("env").map_or("env", |(key, _)| key), "env", Value::table(env));
        }
        if !profiles.is_empty() {
            self.set(out, "env_<name>", "profile", Value::table(profiles));
        }
        let filter = given.get("filter_env");
        let texts = match filter {
            None | Some((_, Json::Bool(_))) => Some(Vec::new()),
            Some((_, Json::String(text))) => Some(vec![text.clone()]),
            Some((_, Json::Array(items))) => items.iter().map(scalar).collect(),
            Some(_) => None,
        };
        let Some(texts) = texts else {
            let (key, value) = filter.expect("only a filter can be of the wrong type");
            return self.wrong_type(given, key, value, "true, a name or a list of texts");
        };
        let one = matches!(filter, Some((_, Json::String(_))));
        let nothing = given.is_true("filter_env");
        self.inherit(out, |name| {
            !nothing && !texts.iter().any(|text| if one { name == text } else { name.contains(text.as_str()) })
        });
    }

    /// Variables as PM2 makes them of an object. What stead sets itself is left out.
    pub(super) fn env(
        &mut self,
        given: &Given<'_>,
        key: &str,
        value: &Json,
        counts: Option<&str>,
    ) -> Vec<(String, Value)> {
        let Json::Object(variables) = value else {
            self.wrong_type(given, key, value, "an object of variables");
            return Vec::new();
        };
        let mut out = Vec::new();
        for (name, value) in variables {
            if RESERVED.contains(&name.as_str()) || counts == Some(name) {
                self.ignore(&format!("{key}.{name}"), "stead sets this one itself");
                continue;
            }
            let text = match value {
                Json::Null => continue,
                Json::Array(_) | Json::Object(_) => value.to_string(),
                plain => scalar(plain).unwrap_or_default(),
            };
            out.push((name.clone(), Value::Str(text)));
        }
        out
    }
}
