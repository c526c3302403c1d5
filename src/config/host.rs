//! What a config asks of the host that its apps will run on.
//! Owns: the questions, and the doors of `resolve` for those who can answer them, so that what is missing on the host is
//! reported with what is wrong in the text, in one run and with its place.
//! Never: looks at the host.

use super::error::Errors;
use super::parse::File;
use super::raw::RawApp;
use super::resolve::{Context, load_with, resolve_file_with, resolve_with};
use super::source::Source;
use crate::model::ids::AppName;
use crate::model::listen::Listen;
use crate::model::spec::{AppSpec, Identity};

/// Whoever can look.
pub trait Host {
    /// The absolute path of a program by its bare name: one that this user may execute, if there is any.
    fn program(&self, name: &str, identity: &Identity) -> Option<String>;
    /// Those of an app's settings that name what is not there.
    fn missing(&self, named: &Named<'_>) -> Vec<Missing>;
}

/// What an app names. None: not given, or wrong already.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    pub identity: &'a Identity,
    pub cwd: Option<&'a str>,
    pub env_file: Option<&'a str>,
    pub pid_file: Option<&'a str>,
    pub out_file: Option<&'a str>,
    pub error_file: Option<&'a str>,
    pub listen: &'a [Listen],
    pub time_zone: Option<&'a str>,
}

/// One that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub key: &'static str,
    pub problem: String,
    pub mend: &'static str,
}

/// As `resolve::resolve`.
pub fn resolve(raw: &RawApp, ctx: &Context<'_>, host: &dyn Host) -> Result<AppSpec, Errors> {
    resolve_with(raw, None, ctx, Some(host))
}

/// As `resolve::resolve_file`.
pub fn resolve_file(file: &File, ctx: &Context<'_>, host: &dyn Host) -> Result<Vec<AppSpec>, Errors> {
    resolve_file_with(file, ctx, Some(host))
}

/// As `resolve::load`.
pub fn load(source: Source, ctx: &Context<'_>, host: &dyn Host) -> Result<Vec<AppSpec>, Errors> {
    load_with(source, ctx, Some(host))
}

/// The name that an app gives itself, if it is one: known whatever else is wrong with it.
pub(super) fn name_given(raw: &RawApp) -> Option<AppName> {
    AppName::parse(raw.given_name()?).ok()
}
