//! The dashboard shows metrics that there are, and every metric there is.

use std::collections::BTreeSet;

const DASHBOARD: &str = include_str!("../examples/monitoring/grafana.json");
const DOCUMENTED: &str = include_str!("../src/observe/mod.rs");

fn is_of_a_name(char: char) -> bool {
    char.is_ascii_lowercase() || char == '_'
}

/// Without what Prometheus adds to the name of a histogram.
fn shown() -> BTreeSet<String> {
    let names = DASHBOARD.match_indices("steadfast_").map(|(at, _)| {
        let name: String = DASHBOARD[at..].chars().take_while(|char| is_of_a_name(*char)).collect();
        let of_a_histogram = name.strip_suffix("_bucket").or_else(|| name.strip_suffix("_count"));
        of_a_histogram.map_or(name.clone(), str::to_owned)
    });
    names.collect()
}

/// From the first column of the table, where a name that begins with `_` shares its beginning with
/// the one before.
fn documented() -> BTreeSet<String> {
    let rows = DOCUMENTED.lines().filter_map(|line| line.strip_prefix("//! | `steadfast_"));
    let mut names = BTreeSet::new();
    for row in rows {
        let column = row.split(" | ").next().unwrap_or(row);
        let mut parts = column.split('`').filter(|part| part.chars().all(is_of_a_name));
        let Some(first) = parts.next() else { continue };
        let room = first.split('_').next().unwrap_or(first);
        names.insert(format!("steadfast_{first}"));
        for part in parts.filter(|part| part.starts_with('_')) {
            names.insert(format!("steadfast_{room}{part}"));
        }
    }
    names
}

#[test]
fn the_dashboard_and_the_documented_metrics_are_the_same() {
    assert!(documented().len() > 10, "{:?}", documented());
    assert_eq!(shown(), documented());
}

#[test]
fn each_metric_has_a_help_text() {
    const DESCRIBED: &str = include_str!("../src/observe/describe.rs");
    for name in documented() {
        assert!(DESCRIBED.contains(&format!("\"{name}\"")), "{name}");
    }
}

/// A read that asks for the latest can be no hit: it says nothing of how good the cache is.
#[test]
fn the_hit_ratio_is_of_reads_that_may_be_hits() {
    let ratio = DASHBOARD.lines().find(|line| line.contains("/ sum(rate(steadfast_near_reads"));
    assert!(ratio.is_some_and(|ratio| ratio.contains(r#"result=~\"hit|miss\""#)), "{ratio:?}");
}
