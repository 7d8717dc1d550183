//! What stands between the parts of a header.

/// Without optional white space around it: SP and HTAB, and nothing else (RFC 9110, 5.6.3). What
/// Unicode calls white space is part of the text: a browser takes a cookie whose name begins with
/// such a character for another one, which any site of the domain may set.
pub(super) fn trim_ows(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// The parts between commas, without those in quoted strings; `None` if a quoted string has no end.
pub(super) fn list(text: &str) -> Option<Vec<&str>> {
    let (mut items, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                items.push(trim_ows(&text[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(trim_ows(&text[start..]));
    items.retain(|item| !item.is_empty());
    (!quoted).then_some(items)
}
