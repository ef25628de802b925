//! Completions and the manual page.

use crate::common::{Environment, parts};

fn printed(sky: &Environment, arguments: &[&str]) -> String {
    let printed = sky.skypipe(arguments).done().success();
    String::from_utf8(printed).expect("it is text")
}

/// What a shell says that runs the script with the completions in a file.
fn completed(shell: &str, script: &str) -> String {
    let sky = Environment::sky(&[]);
    for name in ["logs", "local", "two words", "files"] {
        sky.skypipe(&["-w", name]).fed("text").printed("");
    }
    sky.put("completions", printed(&sky, &["--completions", shell]));
    let said = sky.shell(script).done().success();
    String::from_utf8(said).expect("it is text")
}

#[test]
fn bash_completes_options_and_pipes() {
    let script = |word: &str| {
        format!(
            "exec bash -c 'source ./completions; COMP_WORDS=(skypipe {word}); COMP_CWORD=1; \
             _skypipe_or_name skypipe {word} skypipe; echo ${{COMPREPLY[@]}}'"
        )
    };
    let names = completed("bash", &script("lo"));
    assert_eq!(names.trim(), "local logs");
    assert_eq!(completed("bash", &script("--foll")).trim(), "--follow");
}

#[test]
fn fish_completes_options_and_pipes() {
    if !parts::are_there() {
        return;
    }
    let script =
        |line: &str| format!("exec fish -c 'source ./completions; complete -C \"{line}\"'");
    let names = completed("fish", &script("skypipe lo"));
    assert_eq!(names, "local\nlogs\n");
    let options = completed("fish", &script("skypipe --foll"));
    assert!(options.starts_with("--follow\t"), "{options}");
}

#[test]
fn zsh_reads_its_completions() {
    if !parts::are_there() {
        return;
    }
    let script = "exec zsh -f -c 'autoload -U compinit; compinit -D -u; source ./completions; \
                  whence -w _skypipe _skypipe_pipes'";
    let said = completed("zsh", script);
    assert_eq!(said, "_skypipe: function\n_skypipe_pipes: function\n");
    let sky = Environment::here();
    let script = printed(&sky, &["--completions", "zsh"]);
    assert!(script.contains(":_skypipe_pipes'"), "{script}");
}

#[test]
fn the_manual_page_has_every_option_of_the_help() {
    let sky = Environment::here();
    let help = printed(&sky, &["--help"]);
    let page = printed(&sky, &["--man"]).replace('\\', "");
    assert!(page.contains(".TH skypipe 1"), "{page}");
    let words = help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    for option in words.filter(|word| word.starts_with("--") && word.len() > 2) {
        assert!(
            page.contains(option),
            "{option} is missing in the manual page"
        );
    }
}

#[test]
fn names_are_completed_without_a_word_where_there_is_no_satellite() {
    let sky = Environment::here();
    sky.skypipe(&["--pipe-names"]).done().printed("");
}
