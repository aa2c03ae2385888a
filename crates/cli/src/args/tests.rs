//! The command line as people type it.

use clap::{CommandFactory, Parser};

use super::Cli;

#[test]
fn the_definition_has_no_contradiction() {
    Cli::command().debug_assert();
}

// PITFALLS L6
#[test]
fn every_example_in_the_help_is_understood() {
    let mut examples = 0;
    let cli = Cli::command();
    for command in std::iter::once(&cli).chain(cli.get_subcommands()) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("Examples:"), "{} shows no example", command.get_name());
        for line in help.lines().filter_map(|line| line.strip_prefix("  wharf ")) {
            let command = line.split(" | ").next().unwrap_or(line);
            let words = std::iter::once("wharf").chain(command.split_whitespace());
            match Cli::try_parse_from(words) {
                Ok(_) => {}
                Err(error) if error.kind() == clap::error::ErrorKind::DisplayHelp => {}
                Err(error) => panic!("{line}: {error}"),
            }
            examples += 1;
        }
    }
    assert!(examples >= 10);
}

#[test]
fn times_addresses_and_servers_are_checked() {
    let parses = |more: &[&str]| Cli::try_parse_from(["wharf", "ping", "h"].iter().chain(more)).is_ok();
    assert!(parses(&["--timeout", "0.5", "--dns", "10.0.2.2:5353", "--dns", "9.9.9.9,1.1.1.1"]));
    assert!(parses(&["--address", "192.168.7.2/24", "--gateway", "192.168.7.1"]));
    for refused in [
        &["--timeout", "-1"][..],
        &["--timeout", "nan"],
        &["--timeout", "1e30"],
        &["--dns", "nine"],
        &["--address", "192.168.7.2"],
        &["--gateway", "192.168.7.1"],
        &["--host", "name"],
        &["--forward", "tcp:1"],
        &["-c", "0"],
        &["-s", "65508"],
    ] {
        assert!(!parses(refused), "{refused:?}");
    }
}
