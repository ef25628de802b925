//! The unit by which systemd's user manager keeps a satellite running.
//!
//! Owns its text and how words are written in it; never starts it.

/// How many descriptors the satellite may open: two and some for each of the ten thousand clients that
/// one serves at most. The manager takes as many as it may where that is less.
const DESCRIPTORS: u32 = 65_536;

/// The unit that runs `program` with `arguments` (systemd.service(5), systemd.exec(5)). Started
/// again after three seconds, it never meets the manager's limit of five starts in ten seconds.
#[must_use]
pub fn unit(program: &str, arguments: &[String]) -> String {
    let mut command = quoted(program);
    for argument in arguments {
        command.push(' ');
        // A dollar would begin a variable; in the program's own path it would not.
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

/// A word as systemd reads it: quotes, backslashes and specifiers escaped.
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
