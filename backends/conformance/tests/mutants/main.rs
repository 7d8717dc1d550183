//! Proves the suite itself: the reference backend passes every case, and each mutant, which makes
//! one mistake, fails exactly those cases that exist to find it.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod fault;
mod found;
mod mutant;
mod several;
mod writes;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use steadfast_backend::{
    Backend, Capabilities, Durability, ManualClock, SystemClock, Transactions,
};
use steadfast_conformance::{ModelBackend, Place, Subject, Suite, Verdict};

use fault::Fault;
use mutant::Mutant;

/// What a suite declares besides the small limits.
type Declare = fn(&mut Capabilities);

/// Small limits, so that going over them is quick; and data that outlives a close.
fn small(can: &mut Capabilities) {
    can.value_len_max = 8 << 10;
    can.batch_len_max = 16;
    can.durability = Durability::Crash;
}

fn model(place: &Place, real_time: bool, declare: Declare) -> ModelBackend {
    let backend = if real_time {
        ModelBackend::with_clock(SystemClock::start())
    } else {
        ModelBackend::with_clock(place.clock.clone())
    };
    backend.declaring(small).declaring(declare)
}

/// The suite over a mutant that declares this.
fn suite(fault: Fault, real_time: bool, declare: Declare) -> Suite {
    let nowhere = Place { clock: ManualClock::at_us(1), dir: PathBuf::new() };
    let declared = model(&nowhere, real_time, declare).info().clone();
    let opened: Arc<Mutex<HashMap<PathBuf, Arc<Mutant>>>> = Arc::default();
    let records = {
        let opened = Arc::clone(&opened);
        move |place: &Place| Ok(opened.lock().unwrap()[&place.dir].inner.records())
    };
    let suite = Suite::new(declared, move |place: Place| {
        let opened = Arc::clone(&opened);
        async move {
            let before = opened.lock().unwrap().remove(&place.dir);
            let before = before.filter(|_| fault != Fault::LosesAllAtClose);
            let inner = match &before {
                Some(before) if real_time => before.inner.reopened(SystemClock::start()),
                Some(before) => before.inner.reopened(place.clock.clone()),
                None => model(&place, real_time, declare),
            };
            let mutant = Arc::new(Mutant::new(inner, fault, place.clock));
            if let Some(before) = before {
                mutant.reopen_wrongly(&before).await?;
            }
            opened.lock().unwrap().insert(place.dir, Arc::clone(&mutant));
            Ok(Subject::new(mutant))
        }
    });
    let suite = suite.with_fixed_model(1, 2_000).damaged_by(records);
    if real_time { suite.on_real_time() } else { suite }
}

/// The cases that fail, and what they say.
fn failures(suite: &Suite) -> BTreeMap<&'static str, String> {
    let reports = suite.report().into_iter();
    reports
        .filter_map(|report| match report.verdict {
            Verdict::Failed(text) => Some((report.case, text)),
            Verdict::Passed | Verdict::Ignored(_) => None,
        })
        .collect()
}

/// Compares the cases that fail with those that must; the ones found `by_chance` may.
fn check(suite: &Suite, expected: &[&str], by_chance: &[&str]) {
    let found = failures(suite);
    let known = |case: &&str| expected.contains(case) || by_chance.contains(case);
    for (case, text) in found.iter().filter(|(case, _)| !known(case)) {
        println!("fails and should not: {case}: {text}");
    }
    let missed: Vec<_> = expected.iter().filter(|case| !found.contains_key(**case)).collect();
    println!("passes and should not: {missed:?}");
    assert!(missed.is_empty() && found.keys().all(known), "{:?}", found.keys());
}

fn plain(_: &mut Capabilities) {}

fn no_transactions(can: &mut Capabilities) {
    can.transactions = Transactions::None;
}

fn one_group(can: &mut Capabilities) {
    can.transactions = Transactions::SameGroup;
}

fn no_scan(can: &mut Capabilities) {
    can.scan = false;
}

/// One test per mutant: its fault, what it declares, and the cases that find it. A race may show a
/// fault to some more cases, by chance.
macro_rules! mutants {
    ($(
        $name:ident: $fault:ident, $declare:ident => [$($case:literal,)*]
        $(, by_chance [$($chance:literal,)*])?;
    )+) => {$(
        #[test]
        fn $name() {
            let suite = $crate::suite(Fault::$fault, false, $declare);
            $crate::check(&suite, &[$($case),*], &[$($($chance),*)?]);
        }
    )+};
}

use mutants;

mutants! {
    the_reference_passes: None, plain => [];
    the_reference_without_transactions_passes: None, no_transactions => [];
    the_reference_with_transactions_in_one_group_passes: None, one_group => [];
    the_reference_without_scan_passes: None, no_scan => [];
}

#[test]
fn the_reference_passes_on_real_time() {
    check(&suite(Fault::None, true, plain), &[], &[]);
}

#[test]
fn lateness_is_found_on_real_time() {
    let suite = suite(Fault::ServesLate, true, plain);
    let expected = [
        "conditions::an_expired_entry_is_absent",
        "scan::expired_and_deleted_keys_are_not_listed",
        "transactions::an_expired_entry_is_absent",
        "ttl::a_touch_cannot_revive",
        "ttl::real_deadlines_are_neither_early_nor_late",
        "ttl::real_touches_move_the_deadline",
        "versions::they_increase_across_expiry",
    ];
    check(&suite, &expected, &[]);
}
