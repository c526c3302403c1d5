//! JSON and YAML of PM2's and FinalPM's users to a value.
//! Owns: the place of a mistake in it, and what YAML has that JSON has not: anchors are followed, `<<` is merged.
//! Never: shows a line of the file: it may hold a secret.

use serde_json::{Map, Value as Json};
use yaml_rust2::yaml::Hash;
use yaml_rust2::{Yaml, YamlLoader};

use crate::config::error::{ConfigError, Errors, Place};
use crate::config::source::Source;

/// Deeper than any config, and shallow enough for every stack.
const DEPTH_MAX: usize = 100;

/// JSON as RFC 8259 has it. PM2 takes more: its users' files are JavaScript to it.
pub fn json(source: &Source) -> Result<Json, Errors> {
    serde_json::from_str(source.text()).map_err(|error| {
        // "expected value at line 1 column 2": the place stands before it already.
        let text = error.to_string();
        let problem = text.split(" at line ").next().unwrap_or(&text).to_owned();
        wrong(source, Some((error.line(), error.column())), format!("not JSON: {problem}"))
    })
}

/// The first document of a YAML file.
pub fn yaml(source: &Source) -> Result<Json, Errors> {
    // The parser goes as deep as the text does.
    let (flow, indented) = depth(source.text());
    if flow.max(indented) > DEPTH_MAX {
        return Err(wrong(source, None, "nested deeper than any config is".to_owned()));
    }
    let documents = YamlLoader::load_from_str(source.text()).map_err(|error| {
        let at = (error.marker().line(), error.marker().col() + 1);
        wrong(source, Some(at), format!("not YAML: {}", error.info()))
    })?;
    Ok(documents.first().map_or(Json::Null, value))
}

fn wrong(source: &Source, at: Option<(usize, usize)>, problem: String) -> Errors {
    let place = Place { file: source.name.clone(), at, excerpt: None };
    Errors(vec![ConfigError { place: Some(place), app: None, key: None, problem, mend: String::new() }])
}

/// At most how deep brackets stand within each other, and how many columns a line is indented by dashes and spaces.
fn depth(text: &str) -> (usize, usize) {
    let (mut open, mut most) = (0_usize, 0);
    for c in text.chars() {
        match c {
            '[' | '{' => open += 1,
            ']' | '}' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    let indented =
        |line: &str| line.chars().take_while(|c| matches!(c, '-' | '?' | ' ' | ':')).filter(|c| *c != ' ').count();
    let spaces = |line: &str| line.chars().take_while(|c| *c == ' ').count() / 2;
    (most, text.lines().map(|line| indented(line).max(spaces(line))).max().unwrap_or(0))
}

fn value(yaml: &Yaml) -> Json {
    match yaml {
        Yaml::Real(text) => {
            text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map_or(Json::Null, Json::Number)
        }
        Yaml::Integer(number) => Json::from(*number),
        Yaml::String(text) => Json::from(text.as_str()),
        Yaml::Boolean(b) => Json::Bool(*b),
        Yaml::Array(items) => Json::Array(items.iter().map(value).collect()),
        Yaml::Hash(hash) => Json::Object(object(hash)),
        Yaml::Alias(_) | Yaml::Null | Yaml::BadValue => Json::Null,
    }
}

fn object(hash: &Hash) -> Map<String, Json> {
    let mut out = Map::new();
    for (key, item) in hash {
        if key.as_str() == Some("<<") {
            let merged = match item {
                Yaml::Array(items) => items.iter().filter_map(Yaml::as_hash).collect(),
                one => one.as_hash().into_iter().collect::<Vec<_>>(),
            };
            for (key, item) in merged.into_iter().flat_map(object) {
                // What stands there itself counts more, wherever it stands.
                out.entry(key).or_insert(item);
            }
            continue;
        }
        let key = match value(key) {
            Json::String(text) => text,
            other => other.to_string(),
        };
        out.insert(key, value(item));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Json, String> {
        yaml(&Source::new("x.yml", text)).map_err(|errors| errors.to_string())
    }

    #[test]
    fn yaml_is_what_pm2_makes_of_it() {
        let text = "base: &base\n  autorestart: true\n  env: {A: '1'}\napps:\n  - <<: *base\n    name: api # c\n    instances: 2\n    \
                    env: {B: yes}\n    cron: 0 3 * * *\n    min_uptime: 1.5\n    cwd: ~\n";
        let app = json!({ "autorestart": true, "name": "api", "instances": 2, "env": { "B": "yes" }, "cron": "0 3 * * *",
            "min_uptime": 1.5, "cwd": null });
        assert_eq!(read(text).unwrap()["apps"], json!([app]));
        assert_eq!(read(""), Ok(Json::Null));
    }

    #[test]
    fn a_mistake_has_its_line_and_column() {
        insta::assert_snapshot!(read("apps:\n  - name: a\n   script: b\n").unwrap_err(), @"x.yml:3:10: not YAML: while parsing a block collection, did not find expected '-' indicator");
        insta::assert_snapshot!(read("apps: [1, 2\n").unwrap_err(), @"x.yml:2:1: not YAML: while parsing a flow sequence, expected ',' or ']'");
        insta::assert_snapshot!(read("a: *nobody\n").unwrap_err(), @"x.yml:1:4: not YAML: while parsing node, found unknown anchor");
        let text = Source::new("x.json", "{\n  \"apps\": [,]\n}");
        insta::assert_snapshot!(json(&text).unwrap_err().to_string(), @"x.json:2:12: not JSON: expected value");
    }

    #[test]
    fn what_is_nested_without_an_end_is_refused_and_not_followed() {
        for text in ["[".repeat(100_000), "- ".repeat(100_000), "? ".repeat(100_000), "{a: ".repeat(100_000)] {
            assert!(read(&text).unwrap_err().contains("nested"), "{}", &text[..4]);
        }
    }
}
