//! The `a{sv}` that ends each method's arguments, so that methods can grow.
//! Owns: that a key nobody knows, or a value of the wrong type, is an error that names it. An option that is silently
//! ignored would have a newer client believe that an older daemon did what it asked.

use std::collections::BTreeMap;

use zbus::zvariant::{OwnedValue, Type};

use super::error::Error;

/// Options as they come off the bus.
pub type Options = BTreeMap<String, OwnedValue>;

/// Takes options out one by one; what is left at the end is unknown.
#[derive(Debug)]
pub struct Reader {
    left: Options,
    known: Vec<&'static str>,
}

impl Reader {
    pub fn new(options: Options) -> Self {
        Self { left: options, known: Vec::new() }
    }

    /// The option's value, or None if it is not given.
    pub fn take<T>(&mut self, key: &'static str) -> Result<Option<T>, Error>
    where
        T: TryFrom<OwnedValue> + Type,
    {
        self.known.push(key);
        let Some(value) = self.left.remove(key) else { return Ok(None) };
        let found = value.value_signature().to_string();
        let wrong = || Error::argument(format!("option \"{key}\" is of D-Bus type {found}, not {}", T::SIGNATURE));
        T::try_from(value).map(Some).map_err(|_| wrong())
    }

    /// Refuses what nobody took.
    pub fn finish(self) -> Result<(), Error> {
        let Some(unknown) = self.left.keys().next() else { return Ok(()) };
        let known = match self.known.as_slice() {
            [] => "this method has none".to_owned(),
            known => format!("this method has {}", known.join(", ")),
        };
        Err(Error::argument(format!("unknown option \"{unknown}\": {known}")))
    }
}

/// For a method whose only option is whether to wait for its job.
pub fn read_wait(options: Options) -> Result<bool, Error> {
    let mut reader = Reader::new(options);
    let wait = reader.take("wait")?;
    reader.finish()?;
    Ok(wait.unwrap_or(false))
}

/// For a method that has no options yet.
pub fn refuse_all(options: Options) -> Result<(), Error> {
    Reader::new(options).finish()
}

#[cfg(test)]
mod tests {
    use zbus::zvariant::Value;

    use super::*;

    fn options(pairs: &[(&str, Value<'_>)]) -> Options {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), v.try_to_owned().unwrap())).collect()
    }

    #[test]
    fn an_unknown_option_is_named_with_those_there_are() {
        let mut reader = Reader::new(options(&[("lnes", Value::from(3u32))]));
        assert_eq!(reader.take::<u32>("lines"), Ok(None));
        assert_eq!(reader.finish().unwrap_err().text, "unknown option \"lnes\": this method has lines");
        assert_eq!(
            refuse_all(options(&[("x", Value::from(true))])).unwrap_err().text,
            "unknown option \"x\": this method has none"
        );
    }

    #[test]
    fn an_option_of_the_wrong_type_is_named_with_both_types() {
        let mut reader = Reader::new(options(&[("lines", Value::from("3"))]));
        assert_eq!(reader.take::<u32>("lines").unwrap_err().text, "option \"lines\" is of D-Bus type s, not u");
    }
}
