//! FinalPM's keys by variable: `FINAL_PM_CONFIG_APP_READY_ON=message` is `ready-on` of the application `app`.
//! Owns: which key a variable means. Never: reads the environment.

use serde_json::Value as Json;

use super::table::{FINALPM, FINALPM_TOP, find};
use crate::config::error::{ConfigError, Errors};

const PREFIX: &str = "FINAL_PM_CONFIG_";

/// Sets in a config what variables say. One that means nothing is an error, as it is to FinalPM.
pub fn apply<'a>(config: &mut Json, variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(), Errors> {
    let mut errors = Vec::new();
    for (variable, text) in variables {
        let Some(key) = variable.strip_prefix(PREFIX) else { continue };
        let key = key.to_lowercase().replace('_', "-");
        // Of FinalPM's own keys none means anything here.
        if find(FINALPM_TOP, &key).is_some() {
            continue;
        }
        let mut wrong = |problem: String, mend: &str| {
            errors.push(ConfigError {
                place: None,
                app: None,
                key: Some(variable.to_owned()),
                problem,
                mend: mend.to_owned(),
            });
        };
        let mut apps = config.get_mut("applications").and_then(Json::as_array_mut).into_iter().flatten();
        let found = apps.find_map(|app| {
            let name = app.get("name").and_then(Json::as_str).unwrap_or("default").to_lowercase();
            let row = find(FINALPM, key.strip_prefix(&name)?.strip_prefix('-')?)?;
            Some((app.as_object_mut()?, row.name))
        });
        match (found, value(text)) {
            (Some((app, key)), Ok(value)) => drop(app.insert(key.to_owned(), value)),
            (None, _) => wrong("doesn't match any known configuration key".to_owned(), "write FINAL_PM_CONFIG_APP_KEY"),
            (_, Err(problem)) => wrong(problem, "write JSON, or text that does not begin as JSON does"),
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Errors(errors)) }
}

/// JSON if it begins as JSON does; else text, which is a number or a boolean where the key wants one.
fn value(text: &str) -> Result<Json, String> {
    match text {
        "true" | "false" => Ok(Json::Bool(text == "true")),
        _ if text.starts_with(['"', '[', '{']) => {
            serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
        }
        _ => Ok(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Json, String> {
        let mut config = json!({ "applications": [{ "name": "app", "run": "x" }, { "name": "My-App" }] });
        apply(&mut config, variables.iter().copied()).map_err(|errors| errors.to_string())?;
        Ok(config["applications"].clone())
    }

    #[test]
    fn a_variable_overrides_a_key_of_its_application_and_others_are_nobodys() {
        let variables = [
            ("SOMETHING_ELSE", "hi"),
            ("FINAL_PM_CONFIG_HOME", "/x"),
            ("FINAL_PM_CONFIG_APP_NODE_ARGS", "[\"--a\"]"),
            ("FINAL_PM_CONFIG_MY_APP_INSTANCES", "3"),
        ];
        let apps = json!([{ "name": "app", "run": "x", "node-args": ["--a"] }, { "name": "My-App", "instances": "3" }]);
        assert_eq!(with(&variables), Ok(apps));
    }

    #[test]
    fn an_unknown_key_and_broken_json_by_variable_are_refused() {
        insta::assert_snapshot!(with(&[("FINAL_PM_CONFIG_APP_UNKNOWN_KEY", "v")]).unwrap_err(), @"`FINAL_PM_CONFIG_APP_UNKNOWN_KEY`: doesn't match any known configuration key: write FINAL_PM_CONFIG_APP_KEY");
        insta::assert_snapshot!(with(&[("FINAL_PM_CONFIG_APP_LOGGER", "\"asdf")]).unwrap_err(), @"`FINAL_PM_CONFIG_APP_LOGGER`: not JSON: EOF while parsing a string at line 1 column 5: write JSON, or text that does not begin as JSON does");
    }
}
