//! House rules that a machine can see: short lines, files and functions, no leftovers, reasons
//! beside exceptions, features in the README, links that lead somewhere.
//!
//! All findings are reported at once, each with its place and what to do. Functions are measured
//! by counting braces outside of literals and comments: simple, and enough for formatted code.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const COLUMNS_MAX: usize = 100;
const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn the_repository_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = files_below(root).unwrap();
    for expected in ["src/lib.rs", "tests/tidy.rs", "backends/contract/src/lib.rs", "README.md"] {
        assert!(files.contains(&root.join(expected)), "the walk missed {expected}");
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let front_page = fs::read_to_string(root.join("src/lib.rs")).unwrap();
    let mut findings = check_features(&manifest, &readme);
    findings.extend(check_front_page(&front_page, &readme));
    for path in files {
        let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        if path.extension().is_some_and(|kind| kind == "rs") {
            findings.extend(check_source(&name, &text));
        } else {
            let folder = path.parent().unwrap();
            findings.extend(check_links(&name, &text, |target| folder.join(target).exists()));
        }
    }
    let count = findings.len();
    assert!(findings.is_empty(), "{count} findings:\n{}\n", findings.join("\n"));
}

/// Every Rust and Markdown file that belongs to the project.
fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            let foreign = name.starts_with('.') && name != ".github";
            if !foreign && !["target", "data", "node_modules"].contains(&name.as_str()) {
                files.extend(files_below(&path)?);
            }
        } else if path.extension().is_some_and(|kind| kind == "rs" || kind == "md") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn check_source(name: &str, text: &str) -> Vec<String> {
    let code = code_only(text);
    let mut findings = check_size(name, text);
    findings.extend(check_leftovers(name, &code));
    findings.extend(check_exceptions(name, &code));
    findings.extend(check_functions(name, &code));
    if name.starts_with("src/http/") {
        findings.extend(check_white_space(name, &code));
    }
    findings
}

/// In headers only SP and HTAB are optional white space. What else these take away makes one text
/// out of two that a browser or a proxy tells apart.
fn check_white_space(name: &str, code: &str) -> Vec<String> {
    const WIDER: [&str; 8] = [
        "is_ascii_whitespace",
        "is_whitespace",
        "split_ascii_whitespace",
        "split_whitespace",
        "trim",
        "trim_ascii",
        "trim_end",
        "trim_start",
    ];
    let is_part = |char: char| char.is_alphanumeric() || char == '_';
    let found = |method: &&str| {
        let whole = |at: &usize| {
            !code[..*at].ends_with(is_part) && !code[at + method.len()..].starts_with(is_part)
        };
        let places = code.match_indices(*method).map(|(at, _)| at).filter(whole);
        let lines = places.map(|at| line_at(code, at)).collect::<Vec<_>>();
        let advice = format!("`{method}` takes more than SP and HTAB; use `wire::trim_ows`");
        lines.into_iter().map(move |line| format!("{name}:{line}: {advice}"))
    };
    WIDER.iter().flat_map(found).collect()
}

fn check_size(name: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > COLUMNS_MAX && !is_table_row(line) {
            let line = at + 1;
            findings.push(format!("{name}:{line}: {columns} columns; break it at {COLUMNS_MAX}"));
        }
    }
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        findings.push(format!("{name}:1: {lines} lines; split it below {FILE_LINES_MAX}"));
    }
    findings
}

/// A table in a doc comment: Markdown does not let its rows be broken.
fn is_table_row(line: &str) -> bool {
    ["/// |", "//! |"].iter().any(|start| line.trim_start().starts_with(start))
}

fn check_leftovers(name: &str, code: &str) -> Vec<String> {
    const LEFTOVERS: [(&str, &str); 4] = [
        ("todo!(", "write it"),
        ("unimplemented!(", "write it, or answer with a typed error"),
        ("dbg!(", "remove it"),
        ("#[ignore", "make the test run, or delete it"),
    ];
    let found = |(leftover, advice): &(&str, &str)| {
        let places = code.match_indices(leftover);
        let lines = places.map(|(at, _)| line_at(code, at)).collect::<Vec<_>>();
        let message = format!("`{leftover}` is left in; {advice}");
        lines.into_iter().map(move |line| format!("{name}:{line}: {message}"))
    };
    LEFTOVERS.iter().flat_map(found).collect()
}

/// A lint that is switched off says why, in the attribute itself.
fn check_exceptions(name: &str, code: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for attribute in ["#[allow(", "#![allow(", "#[expect(", "#![expect("] {
        for (at, _) in code.match_indices(attribute) {
            let rest = &code[at..];
            let body = &rest[..rest.find(")]").unwrap_or(rest.len())];
            if !body.contains("reason") {
                let line = line_at(code, at);
                let advice = "add `reason = \"...\"`, or mend what the lint found";
                findings.push(format!("{name}:{line}: `{attribute}` without a reason; {advice}"));
            }
        }
    }
    findings
}

fn check_functions(name: &str, code: &str) -> Vec<String> {
    let lines = code.lines().collect::<Vec<_>>();
    let mut findings = Vec::new();
    for at in (0..lines.len()).filter(|at| starts_function(lines[*at])) {
        if let Some(length) = function_len(&lines[at..])
            && length > FUNCTION_LINES_MAX
        {
            let line = at + 1;
            let advice = format!("split it below {FUNCTION_LINES_MAX}");
            findings.push(format!("{name}:{line}: a function of {length} lines; {advice}"));
        }
    }
    findings
}

fn starts_function(line: &str) -> bool {
    const MODIFIERS: [&str; 5] = ["pub", "const", "async", "extern", "default"];
    let mut words = line.split_whitespace();
    words.find(|word| !MODIFIERS.contains(word) && !word.starts_with("pub(")) == Some("fn")
}

/// How many lines a function takes from its first line on; `None` if it has no body.
fn function_len(lines: &[&str]) -> Option<usize> {
    let (mut braces, mut brackets) = (0_usize, 0_usize);
    for (at, line) in lines.iter().enumerate() {
        for char in line.chars() {
            match char {
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets = brackets.saturating_sub(1),
                '{' => braces += 1,
                '}' if braces == 1 => return Some(at + 1),
                '}' => braces = braces.saturating_sub(1),
                ';' if braces == 0 && brackets == 0 => return None,
                _ => {}
            }
        }
    }
    None
}

/// Every feature of the manifest, except `default`, has a row in a table of the README.
fn check_features(manifest: &str, readme: &str) -> Vec<String> {
    let lines = manifest.lines().enumerate();
    let features = lines
        .skip_while(|(_, line)| line.trim() != "[features]")
        .skip(1)
        .take_while(|(_, line)| !line.starts_with('['))
        .filter_map(|(at, line)| Some((at + 1, line.split_once('=')?.0.trim())))
        .filter(|(_, name)| !name.starts_with('#') && *name != "default");
    features
        .filter(|(_, name)| !readme.contains(&format!("| `{name}` |")))
        .map(|(line, name)| {
            format!("Cargo.toml:{line}: feature `{name}` has no row in README.md; add | `{name}` |")
        })
        .collect()
}

/// The README is the front page of the documentation, where no file stands beside it: each link of
/// its to a file has another target there.
fn check_front_page(lib: &str, readme: &str) -> Vec<String> {
    let (before, _rest) = lib.split_once("include_str!(\"../README.md\")").unwrap_or((lib, ""));
    let mut findings = Vec::new();
    let mut fenced = false;
    for (at, line) in readme.lines().enumerate() {
        if line.starts_with("```") {
            fenced = !fenced;
        }
        let label = line.split_once("]: ").map_or("", |(label, _target)| label);
        let is_known = !label.is_empty() && before.contains(&format!("\"{label}]: "));
        if fenced || is_known || targets(line).next().is_none() {
            continue;
        }
        let advice =
            "define the link at the end, and its target in the documentation in src/lib.rs";
        findings.push(format!("README.md:{}: a link to a file; {advice}", at + 1));
    }
    findings
}

/// Every relative link leads to a file that is there.
fn check_links(name: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    let mut fenced = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for target in targets(line) {
            if !exists(target) {
                let advice = "mend the link, or add the file";
                findings.push(format!("{name}:{}: no file at {target}; {advice}", at + 1));
            }
        }
    }
    findings
}

/// The files a line of Markdown links to: `[text](file#part)` and `[text]: file`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    // Odd pieces stand between backticks.
    let prose = line.split('`').step_by(2);
    let inline = prose.flat_map(|piece| piece.split("](").skip(1)).filter_map(|after| {
        let end = after.find([')', ' '])?;
        Some(&after[..end])
    });
    // A code span as the text of a link leaves its target in the piece after it, which `prose` has.
    let definition = line.starts_with('[').then(|| line.split_once("]: ")).flatten();
    let definition = definition.and_then(|(_, after)| after.split_whitespace().next());
    inline.chain(definition).filter(|target| !is_elsewhere(target)).filter_map(|target| {
        let file = target.split('#').next()?;
        (!file.is_empty()).then_some(file)
    })
}

/// The web, and items that rustdoc resolves.
fn is_elsewhere(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:") || target.contains("::")
}

fn line_at(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// The source with spaces in the place of comments and literals, and the same lines.
fn code_only(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(char) = rest.chars().next() {
        let after_word = code.ends_with(|before: char| before.is_alphanumeric() || before == '_');
        let hidden = hidden_len(rest, after_word);
        let (piece, after) = rest.split_at(hidden.unwrap_or(char.len_utf8()));
        if hidden.is_some() {
            code.extend(piece.chars().map(|char| if char == '\n' { '\n' } else { ' ' }));
        } else {
            code.push(char);
        }
        rest = after;
    }
    code
}

/// How many bytes of comment or literal the text begins with.
fn hidden_len(text: &str, after_word: bool) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(text.find("*/").map_or(text.len(), |end| end + 2));
    }
    if let Some(inside) = text.strip_prefix('"') {
        return Some(1 + quoted_len(inside, '"'));
    }
    if let Some(inside) = text.strip_prefix('\'') {
        let mut chars = inside.chars();
        let escaped = chars.next()? == '\\';
        // Otherwise it is a lifetime.
        return (escaped || chars.next() == Some('\'')).then(|| 1 + quoted_len(inside, '\''));
    }
    if after_word { None } else { raw_len(text) }
}

fn quoted_len(inside: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, char) in inside.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if char == quote => return at + 1,
            _ => {}
        }
    }
    inside.len()
}

fn raw_len(text: &str) -> Option<usize> {
    let unprefixed = text.strip_prefix(['b', 'c']).unwrap_or(text).strip_prefix('r')?;
    let inside = unprefixed.trim_start_matches('#');
    let end = format!("\"{}", "#".repeat(unprefixed.len() - inside.len()));
    let inside = inside.strip_prefix('"')?;
    let start = text.len() - inside.len();
    Some(inside.find(&end).map_or(text.len(), |at| start + at + end.len()))
}

mod planted {
    use super::*;

    #[track_caller]
    fn assert_found(findings: &[String], expected: &[&str]) {
        let matches = findings.iter().zip(expected).all(|(found, start)| found.starts_with(start));
        assert!(matches && findings.len() == expected.len(), "{findings:#?}");
    }

    #[test]
    fn long_lines_and_files_are_found() {
        let fits = format!("// {}\n", "é".repeat(COLUMNS_MAX - 3));
        assert_found(&check_source("a.rs", &fits), &[]);
        let long = format!("\n// {}", "é".repeat(COLUMNS_MAX - 2));
        assert_found(&check_source("a.rs", &long), &["a.rs:2: 101 columns"]);
        let table = format!("    /// | {} |", "a".repeat(COLUMNS_MAX));
        assert_found(&check_source("a.rs", &table), &[]);
        assert_found(&check_source("a.rs", &"\n".repeat(FILE_LINES_MAX)), &[]);
        assert_found(&check_source("a.rs", &"\n".repeat(601)), &["a.rs:1: 601 lines"]);
    }

    #[test]
    fn leftovers_are_found_in_code_only() {
        let code =
            "fn f() {\n todo!();\n unimplemented!()\n}\n#[ignore = \"slow\"]\nfn g(){dbg!(1)}";
        let expected = [
            "a.rs:2: `todo!(`",
            "a.rs:3: `unimplemented!(`",
            "a.rs:6: `dbg!(`",
            "a.rs:5: `#[ignore`",
        ];
        assert_found(&check_source("a.rs", code), &expected);
        let quoted = "// todo!()\n/* dbg!( */\n\"#[ignore]\";\nr#\"\"todo!(\"#;\nb\"\\\"dbg!(\";";
        assert_found(&check_source("a.rs", quoted), &[]);
    }

    #[test]
    fn exceptions_without_a_reason_are_found() {
        let bare = "#![allow(dead_code)]\n#[expect(\n    unused,\n)]\nfn f() {}";
        assert_found(&check_source("a.rs", bare), &["a.rs:1: `#![allow(`", "a.rs:2: `#[expect("]);
        let reasoned = "#[expect(\n    unused,\n    reason = \"shown (here)]\"\n)]\nfn f() {}";
        assert_found(&check_source("a.rs", reasoned), &[]);
    }

    #[test]
    fn white_space_beyond_space_and_tab_is_found_where_headers_are_read() {
        let code = "a.trim();\nb.map(str::trim_end);\nc.split_whitespace();\n\
                    d.trim_matches([' ']); trim_ows(e); // trim()";
        let expected = [
            "src/http/a.rs:3: `split_wh",
            "src/http/a.rs:1: `trim`",
            "src/http/a.rs:2: `trim_end`",
        ];
        assert_found(&check_source("src/http/a.rs", code), &expected);
        assert_found(&check_source("src/store/a.rs", code), &[]);
    }

    #[test]
    fn long_functions_are_found() {
        let function = |lines: usize| {
            let body = "    let _ = ('{', \"{\", 'a');\n".repeat(lines - 2);
            format!("impl<'a> A<'a> {{\npub(crate) async fn f(_: [u8; 2]) {{\n{body}}}\n}}\n")
        };
        assert_found(&check_source("a.rs", &function(FUNCTION_LINES_MAX)), &[]);
        let found = check_source("a.rs", &function(FUNCTION_LINES_MAX + 1));
        assert_found(&found, &["a.rs:2: a function of 71 lines"]);
        let bodiless = format!("fn f();\n{}", "const A: () = {};\n".repeat(80));
        assert_found(&check_source("a.rs", &bodiless), &[]);
    }

    #[test]
    fn undocumented_features_are_found() {
        let manifest = "[package]\nname = \"a\"\n[features]\ndefault = []\n# b = 1\n\
                        b = []\nc = []\n[dependencies]\nd = \"1\"";
        let readme = "| feature | what |\n| `b` | it |\n`c`";
        assert_found(&check_features(manifest, readme), &["Cargo.toml:7: feature `c`"]);
    }

    #[test]
    fn links_that_the_documentation_has_not_are_found() {
        let lib =
            "#![doc = \"[a]: crate::a\"]\n#![doc = include_str!(\"../README.md\")]\n\"[b]: x\"";
        let readme = "[a] [c](c.md) [d](https://x.y)\n\n[a]: a.rs\n[b]: b.rs\n[e]: https://x.y";
        let expected = ["README.md:1: a link to a file", "README.md:4: a link to a file"];
        assert_found(&check_front_page(lib, readme), &expected);
    }

    #[test]
    fn dead_links_are_found() {
        let text = "[a](here.md) [`b`](gone.md#part) [c](https://x.y/z) [d](#part) `[e](no)`\n\
                    [f](a::B)\n```\n[g](no)\n```\n[h]: lost.md \"title\"\n[i](away.md \"title\")";
        let found = check_links("a.md", text, |target| target == "here.md");
        let expected = ["a.md:1: no file at gone.md", "a.md:6: no file at lost.md"];
        assert_found(&found, &[expected[0], expected[1], "a.md:7: no file at away.md"]);
    }
}
