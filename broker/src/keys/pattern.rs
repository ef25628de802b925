//! Patterns for the names of pipes.

/// Whether `name` matches `pattern`, in which `*` stands for any characters, or none.
///
/// ```
/// use skypipe_broker::keys::matches;
/// assert!(matches("logs", "logs"));
/// assert!(matches("logs/*", "logs/web"));
/// assert!(!matches("logs/*", "logs"));
/// ```
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = name.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    let Some(mut rest) = rest.strip_suffix(last) else {
        return false;
    };
    // The first match of a part is as good as any later one for the parts behind it.
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name) in [
            ("", ""),
            ("*", ""),
            ("*", "anything"),
            ("a*", "a"),
            ("a*c", "abc"),
            ("a*b*c", "a-b-b-c"),
            ("*.log", "x.log"),
            ("**", "x"),
            ("ä*", "äö"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("", "a"),
            ("a", ""),
            ("a", "ab"),
            ("a", "ba"),
            ("a*a", "a"),
            ("a*b*c", "a-c"),
            ("ab*ba", "aba"),
            ("*x*", "abc"),
            ("LOGS", "logs"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    /// The meaning of a pattern, written as simply as possible.
    fn model(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            ([b'*', more @ ..], _) => {
                model(more, name) || (!name.is_empty() && model(pattern, &name[1..]))
            }
            ([a, more @ ..], [b, rest @ ..]) => a == b && model(more, rest),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn it_means_what_the_model_says(pattern in "[ab*]{0,8}", name in "[ab]{0,8}") {
            prop_assert_eq!(
                matches(&pattern, &name),
                model(pattern.as_bytes(), name.as_bytes())
            );
        }
    }
}
