//! Patterns for names, as Go's `path.Match` has them: `*` and `?` stop at slashes, `[a-z]` and `[^a-z]` are one character, `\` takes away
//! the meaning of what follows.

/// A pattern that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadPattern;

/// One part of a pattern.
enum Part {
    /// Any number of characters, slashes excepted.
    Star,
    /// One character of those.
    One(Class),
}

enum Class {
    Any,
    Literal(char),
    Set { ranges: Vec<(char, char)>, negated: bool },
}

impl Class {
    fn takes(&self, character: char) -> bool {
        match self {
            Self::Any => character != '/',
            Self::Literal(literal) => *literal == character,
            Self::Set { ranges, negated } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&character)) != *negated
            }
        }
    }
}

/// Finds out whether a text is a pattern.
pub(super) fn check(pattern: &str) -> Result<(), BadPattern> {
    parse(pattern).map(drop)
}

/// Whether a pattern describes the whole of a text. What is no pattern describes nothing.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let Ok(parts) = parse(pattern) else { return false };
    let text: Vec<char> = text.chars().collect();
    let (mut part, mut at) = (0, 0);
    // Where to go on when what follows the last star doesn't fit: the star takes one character more. Earlier stars need no second look,
    // since whatever they left out the last one could take as well.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match parts.get(part) {
            Some(Part::Star) => {
                retry = Some((part + 1, at));
                part += 1;
                continue;
            }
            Some(Part::One(class)) if text.get(at).is_some_and(|character| class.takes(*character)) => {
                part += 1;
                at += 1;
                continue;
            }
            None if at == text.len() => return true,
            _ => {}
        }
        match retry {
            Some((after_star, from)) if text.get(from).is_some_and(|character| *character != '/') => {
                retry = Some((after_star, from + 1));
                part = after_star;
                at = from + 1;
            }
            _ => return false,
        }
    }
}

fn parse(pattern: &str) -> Result<Vec<Part>, BadPattern> {
    let mut parts = Vec::new();
    let mut rest = pattern.chars().peekable();
    while let Some(character) = rest.next() {
        parts.push(match character {
            '*' => Part::Star,
            '?' => Part::One(Class::Any),
            '\\' => Part::One(Class::Literal(rest.next().ok_or(BadPattern)?)),
            '[' => {
                let negated = rest.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                while ranges.is_empty() || rest.next_if_eq(&']').is_none() {
                    let low = member(&mut rest)?;
                    let high = if rest.next_if_eq(&'-').is_some() { member(&mut rest)? } else { low };
                    ranges.push((low, high));
                }
                Part::One(Class::Set { ranges, negated })
            }
            literal => Part::One(Class::Literal(literal)),
        });
    }
    Ok(parts)
}

/// A character between brackets.
fn member(rest: &mut impl Iterator<Item = char>) -> Result<char, BadPattern> {
    match rest.next() {
        None | Some('-' | ']') => Err(BadPattern),
        Some('\\') => rest.next().ok_or(BadPattern),
        Some(character) => Ok(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_go() {
        for (pattern, text, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("[a-ζ]*", "α", true),
            ("*[a-ζ]", "A", false),
            ("a?b", "a/b", false),
            ("a*b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[\\-x]", "-", true),
            ("[x\\-]", "z", false),
            ("*x", "xxx", true),
            ("", "", true),
            ("", "a", false),
            ("**", "ab", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn broken_patterns_are_known() {
        for pattern in ["[]a]", "[-]", "[x-]", "[-x]", "[", "[^", "[^bc", "a[", "a\\", "[a-b-c]", "[\\"] {
            assert_eq!(check(pattern), Err(BadPattern), "{pattern}");
            assert!(!matches(pattern, "a"), "{pattern}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = format!("{}b", "a*".repeat(200));
        assert!(!matches(&pattern, &"a".repeat(5000)));
    }
}
