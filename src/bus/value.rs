//! Config values on the bus: `a{sv}` is an app, nested dictionaries are tables, arrays are lists.
//! Owns: which D-Bus types a config value may have, and how deep and large an app may be. The peer is root, but a
//! mistake of a script should be an error that names the key, not a daemon out of memory.

use std::collections::BTreeMap;

use zbus::zvariant::{self, OwnedValue, Signature};

use super::error::Error;
use crate::api::{Entry, Node, RawApp, Value};

/// Deeper than any key nests: `profile` → its name → `env` → a variable is four.
const DEPTH_MAX: usize = 8;
/// Values in one app, lists and tables counted with their members.
const VALUES_MAX: usize = 100_000;

/// An app off the bus.
pub fn app_from_dict(dict: &BTreeMap<String, OwnedValue>) -> Result<RawApp, Error> {
    let mut budget = VALUES_MAX;
    let mut pairs = Vec::with_capacity(dict.len());
    for (key, value) in dict {
        pairs.push((key.clone(), read(key, value, 0, &mut budget)?));
    }
    Ok(RawApp::new(pairs))
}

/// An app for the bus.
pub fn app_to_dict(app: &RawApp) -> BTreeMap<String, OwnedValue> {
    app.entries.iter().map(|entry| (entry.key.clone(), to_owned(&entry.node.value))).collect()
}

/// Named values for the bus.
pub fn pairs_to_dict(pairs: Vec<(String, Value)>) -> BTreeMap<String, OwnedValue> {
    pairs.into_iter().map(|(key, value)| (key, to_owned(&value))).collect()
}

fn read(key: &str, value: &zvariant::Value<'_>, depth: usize, budget: &mut usize) -> Result<Value, Error> {
    use zvariant::Value as V;
    if depth > DEPTH_MAX {
        return Err(Error::config(format!("`{key}`: nested deeper than {DEPTH_MAX} levels")));
    }
    let spent = || Error::config(format!("`{key}`: an app has at most {VALUES_MAX} values"));
    *budget = budget.checked_sub(1).ok_or_else(spent)?;
    let int = |n: i64| Ok(Value::Int(n));
    match value {
        V::Bool(b) => Ok(Value::Bool(*b)),
        V::U8(n) => int((*n).into()),
        V::I16(n) => int((*n).into()),
        V::U16(n) => int((*n).into()),
        V::I32(n) => int((*n).into()),
        V::U32(n) => int((*n).into()),
        V::I64(n) => int(*n),
        V::U64(n) => match i64::try_from(*n) {
            Ok(n) => int(n),
            Err(_) => Err(Error::config(format!("`{key}`: {n} is too large"))),
        },
        V::F64(x) => Ok(Value::Float(*x)),
        V::Str(s) => Ok(Value::Str(s.to_string())),
        V::Array(items) => {
            let list = items.iter().map(|item| Ok(Node { value: read(key, item, depth + 1, budget)?, span: None }));
            list.collect::<Result<_, _>>().map(Value::List)
        }
        V::Dict(dict) => {
            let entries = dict.iter().map(|(name, value)| match name {
                V::Str(name) => Ok(Entry {
                    key: name.to_string(),
                    key_span: None,
                    node: Node { value: read(&format!("{key}.{name}"), value, depth + 1, budget)?, span: None },
                }),
                _ => Err(Error::config(format!("`{key}`: a table's keys are strings, not {}", name.value_signature()))),
            });
            entries.collect::<Result<_, _>>().map(Value::Table)
        }
        V::Value(inner) => read(key, inner, depth + 1, budget),
        V::Signature(_) | V::ObjectPath(_) | V::Structure(_) | V::Fd(_) => {
            Err(Error::config(format!("`{key}`: D-Bus type {} has no meaning in a config", value.value_signature())))
        }
    }
}

fn to_owned(value: &Value) -> OwnedValue {
    OwnedValue::try_from(write(value)).expect("holds no file descriptor, the one thing that cannot be cloned")
}

fn write(value: &Value) -> zvariant::Value<'static> {
    use zvariant::Value as V;
    match value {
        Value::Bool(b) => V::Bool(*b),
        Value::Int(n) => V::I64(*n),
        Value::Float(x) => V::F64(*x),
        Value::Str(s) => V::Str(s.clone().into()),
        Value::List(items) => {
            // `as` reads better in busctl and is what most lists are; a mixed list needs variants.
            let texts = items.iter().map(|item| match &item.value {
                Value::Str(text) => Some(text.clone()),
                _ => None,
            });
            match texts.collect::<Option<Vec<String>>>() {
                Some(texts) => V::Array(texts.into()),
                None => {
                    let mut array = zvariant::Array::new(&Signature::Variant);
                    for item in items {
                        let item = V::Value(Box::new(write(&item.value)));
                        array.append(item).expect("every member is a variant, as the array says");
                    }
                    V::Array(array)
                }
            }
        }
        Value::Table(entries) => {
            let mut dict = zvariant::Dict::new(&Signature::Str, &Signature::Variant);
            for entry in entries {
                let value = V::Value(Box::new(write(&entry.node.value)));
                dict.append(V::Str(entry.key.clone().into()), value)
                    .expect("keys and values are as the dictionary says");
            }
            V::Dict(dict)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(s: &str) -> Value {
        Value::Str(s.to_owned())
    }

    #[test]
    fn an_app_comes_back_from_the_bus_as_it_went() {
        let env = Value::table([("A".to_owned(), text("1")), ("B".to_owned(), text(""))]);
        let profile = Value::table([("prod".to_owned(), Value::table([("env".to_owned(), env.clone())]))]);
        let app = RawApp::new([
            ("name".to_owned(), text("api")),
            ("run".to_owned(), Value::texts(["node", "a b.js"])),
            ("args".to_owned(), Value::texts(Vec::<String>::new())),
            ("instances".to_owned(), Value::Int(4)),
            ("mixed".to_owned(), Value::List(vec![Node::from(text("x")), Node { value: Value::Int(1), span: None }])),
            ("ratio".to_owned(), Value::Float(0.5)),
            ("share_ports".to_owned(), Value::Bool(true)),
            ("env".to_owned(), env),
            ("profile".to_owned(), profile),
        ]);
        let back = app_from_dict(&app_to_dict(&app)).unwrap();
        for entry in &app.entries {
            assert_eq!(back.get(&entry.key), Some(&entry.node), "{}", entry.key);
        }
    }

    #[test]
    fn a_type_without_meaning_is_an_error_that_names_the_key() {
        let bad = zvariant::Value::from((1u32, 2u32)).try_to_owned().unwrap();
        let dict = BTreeMap::from([("cwd".to_owned(), bad)]);
        assert_eq!(app_from_dict(&dict).unwrap_err().text, "`cwd`: D-Bus type (uu) has no meaning in a config");
    }

    #[test]
    fn an_app_that_nests_without_end_is_refused() {
        let mut value = text("x");
        for _ in 0..20 {
            value = Value::List(vec![Node { value, span: None }]);
        }
        let dict = app_to_dict(&RawApp::new([("args".to_owned(), value)]));
        assert_eq!(app_from_dict(&dict).unwrap_err().text, "`args`: nested deeper than 8 levels");
    }
}
