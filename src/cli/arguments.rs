//! Settings as flags of the command line.

use clap::{Arg, ArgAction, ArgMatches};

use crate::config::settings::{Flags, SETTINGS, Setting, variable_name};

/// The flags of all settings but those in `without`.
pub fn settings_without(without: &[&str]) -> Vec<Arg> {
    SETTINGS.iter().filter(|setting| !without.contains(&setting.name)).map(flag).collect()
}

/// The flags of these settings.
pub fn settings_named(names: &[&str]) -> Vec<Arg> {
    SETTINGS.iter().filter(|setting| names.contains(&setting.name)).map(flag).collect()
}

/// What was given of them.
pub fn flags_of(matches: &ArgMatches) -> Flags {
    let mut flags = Flags::new();
    for setting in SETTINGS {
        // A flag that this subcommand does not have is one that was not given.
        if let Ok(Some(texts)) = matches.try_get_many::<String>(setting.name) {
            flags.insert(setting.name, texts.cloned().collect());
        }
    }
    flags
}

/// The environment, without what is not text.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
}

fn flag(setting: &'static Setting) -> Arg {
    let action = if setting.list { ArgAction::Append } else { ArgAction::Set };
    Arg::new(setting.name)
        .long(setting.name)
        .value_name(setting.value)
        .action(action)
        .help(help(setting))
        .help_heading(setting.group)
        .allow_hyphen_values(setting.list)
}

fn help(setting: &Setting) -> String {
    let variable = variable_name(setting.name);
    match setting.default {
        Some(default) => format!("{} [{variable}, default: {default}]", setting.help),
        None => format!("{} [{variable}]", setting.help),
    }
}
