//! The unit by which systemd's user manager keeps a satellite running.
//!
//! Owns the unit's text, and how words are escaped in it. Never starts the unit.

/// How many descriptors the satellite may open. It serves at most ten thousand clients, and each
/// takes two and some. If the manager itself may open fewer, the satellite gets that number.
const DESCRIPTORS: u32 = 65_536;

/// The unit that runs `program` with `arguments` (systemd.service(5), systemd.exec(5)). A restart
/// comes after three seconds, so that the manager's limit of five starts in ten seconds is never
/// reached.
#[must_use]
pub fn unit(program: &str, arguments: &[String]) -> String {
    let mut command = quoted(program);
    for argument in arguments {
        command.push(' ');
        // A dollar sign begins a variable in an argument. It does not in the program's path.
        command.push_str(&quoted(argument).replace('$', "$$"));
    }
    format!(
        "[Unit]\n\
         Description=skypipe satellite\n\
         \n\
         [Service]\n\
         ExecStart={command}\n\
         Restart=always\n\
         RestartSec=3\n\
         LimitNOFILE={DESCRIPTORS}\n\
         UMask=0077\n\
         SyslogIdentifier=skypipe-satellite\n\
         \n\
         [Install]\n\
         WantedBy=default.target"
    )
}

/// A word as systemd reads it: quotes, backslashes and specifiers are escaped.
fn quoted(word: &str) -> String {
    let escaped = word
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('%', "%%");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_escaped() {
        let text = unit(
            "/home/a b/100%",
            &[r#"a"b\c"#, "$HOME %h"].map(str::to_owned),
        );
        let line = r#"ExecStart="/home/a b/100%%" "a\"b\\c" "$$HOME %%h""#;
        assert!(text.lines().any(|each| each == line), "{text}");
    }
}
