//! Proves the suite itself: the reference backend passes every case, and each mutant, which makes
//! one mistake, fails exactly those cases that exist to find it.

mod fault;
mod mutant;
mod several;
mod writes;

use std::collections::{BTreeMap, BTreeSet, HashMap};
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
            Ok(Subject::new(mutant.clone()).sweeping(move || mutant.sweep_wrongly()))
        }
    });
    let suite = suite.with_fixed_model(1, 2_000);
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

#[track_caller]
fn check(fault: Fault, found: &BTreeMap<&'static str, String>, expected: &[&str]) {
    let cases: BTreeSet<&str> = found.keys().copied().collect();
    let expected: BTreeSet<&str> = expected.iter().copied().collect();
    if cases != expected {
        println!("{fault:?}: &[");
        for (case, text) in found {
            let known = if expected.contains(case) { ' ' } else { '+' };
            println!("{known}       \"{case}\",    // {}", text.lines().next().unwrap_or_default());
        }
        for case in expected.difference(&cases) {
            println!("-       \"{case}\",");
        }
        println!("]");
    }
    assert_eq!(cases, expected, "the cases that fail for {fault:?}");
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

/// One test per mutant: its fault, what it declares, and the cases that find it.
macro_rules! mutants {
    ($($name:ident: $fault:ident, $declare:ident, $expected:expr;)+) => {$(
        #[test]
        fn $name() {
            check(Fault::$fault, &failures(&suite(Fault::$fault, false, $declare)), $expected);
        }
    )+};
}

mutants! {
    the_reference_passes: None, plain, &[];
    the_reference_without_transactions_passes: None, no_transactions, &[];
    the_reference_with_transactions_in_one_group_passes: None, one_group, &[];
    the_reference_without_scan_passes: None, no_scan, &[];
    info_differs: InfoDiffers, plain, &[];
    uses_more_than_its_limit: UsesMoreThanItsLimit, plain, &[];
    age_counts_from_the_touch: AgeCountsFromTheTouch, plain, &[];
    drops_duplicate_keys: DropsDuplicateKeys, plain, &[];
    empty_is_miss: EmptyIsMiss, plain, &[];
    empty_calls_fail: EmptyCallsFail, plain, &[];
    get_many_forgets_left: GetManyForgetsLeft, plain, &[];
    get_many_sorts: GetManySorts, plain, &[];
    ignores_case: IgnoresCase, plain, &[];
    ignores_punctuation: IgnoresPunctuation, plain, &[];
    left_is_overstated: LeftIsOverstated, plain, &[];
    miss_is_an_empty_entry: MissIsAnEmptyEntry, plain, &[];
    ready_always_misses: ReadyAlwaysMisses, plain, &[];
    takes_text_only: TakesTextOnly, plain, &[];
    checks_then_acts: ChecksThenActs, plain, &[];
    delete_needs_an_entry: DeleteNeedsAnEntry, plain, &[];
    ignores_absent: IgnoresAbsent, plain, &[];
    ignores_present: IgnoresPresent, plain, &[];
    ignores_version: IgnoresVersion, plain, &[];
    keeps_the_first_value: KeepsTheFirstValue, plain, &[];
    put_never_overwrites: PutNeverOverwrites, plain, &[];
    refuses_empty_handed: RefusesEmptyHanded, plain, &[];
    touch_ignores_condition: TouchIgnoresCondition, plain, &[];
    refusal_bumps_version: RefusalBumpsVersion, plain, &[];
    touch_bumps_version: TouchBumpsVersion, plain, &[];
    versions_are_coarse: VersionsAreCoarse, plain, &[];
    versions_restart_with_the_entry: VersionsRestartWithTheEntry, plain, &[];
    versions_run_ahead: VersionsRunAhead, plain, &[];
    caps_ttl_at_30_days: CapsTtlAt30Days, plain, &[];
    deadline_survives_delete: DeadlineSurvivesDelete, plain, &[];
    defaults_to_a_year: DefaultsToAYear, plain, &[];
    put_keeps_deadline: PutKeepsDeadline, plain, &[];
    rounds_ttl_down_to_seconds: RoundsTtlDownToSeconds, plain, &[];
    serves_late: ServesLate, plain, &[];
    sweeps_the_living: SweepsTheLiving, plain, &[];
    touch_is_ignored: TouchIsIgnored, plain, &[];
    touch_revives: TouchRevives, plain, &[];
    judges_condition_first: JudgesConditionFirst, plain, &[];
    refuses_the_longest_batch: RefusesTheLongestBatch, plain, &[];
    refuses_the_longest_value: RefusesTheLongestValue, plain, &[];
    takes_long_batches: TakesLongBatches, plain, &[];
    takes_long_values: TakesLongValues, plain, &[];
    too_large_still_deletes: TooLargeStillDeletes, plain, &[];
    truncates_keys: TruncatesKeys, plain, &[];
    answers_reversed: AnswersReversed, plain, &[];
    batch_reversed: BatchReversed, plain, &[];
    batch_stops_at_refusal: BatchStopsAtRefusal, plain, &[];
    one_too_large_fails_all: OneTooLargeFailsAll, plain, &[];
    applies_half_of_a_refused_one: AppliesHalfOfARefusedOne, plain, &[];
    blames_the_first: BlamesTheFirst, plain, &[];
    forgets_after_the_fourth: ForgetsAfterTheFourth, plain, &[];
    groups_mix: GroupsMix, one_group, &[];
    needs_one_group: NeedsOneGroup, plain, &[];
    snapshot_is_torn: SnapshotIsTorn, plain, &[];
    takes_a_key_twice: TakesAKeyTwice, plain, &[];
    transacts_anyway: TransactsAnyway, no_transactions, &[];
    cursor_is_an_offset: CursorIsAnOffset, plain, &[];
    drops_keys_at_page_ends: DropsKeysAtPageEnds, plain, &[];
    ignores_the_page_limit: IgnoresThePageLimit, plain, &[];
    lists_a_marker: ListsAMarker, plain, &[];
    lists_the_expired: ListsTheExpired, plain, &[];
    prefix_is_no_segment: PrefixIsNoSegment, plain, &[];
    scans_anyway: ScansAnyway, no_scan, &[];
    takes_any_cursor: TakesAnyCursor, plain, &[];
    answers_the_next_call: AnswersTheNextCall, plain, &[];
    batch_is_made_backwards: BatchIsMadeBackwards, plain, &[];
    breaks_when_dropped: BreaksWhenDropped, plain, &[];
    loses_a_dropped_write: LosesADroppedWrite, plain, &[];
    transacts_half_when_dropped: TransactsHalfWhenDropped, plain, &[];
    answers_after_close: AnswersAfterClose, plain, &[];
    close_fails_the_second_time: CloseFailsTheSecondTime, plain, &[];
    ready_after_close: ReadyAfterClose, plain, &[];
    writes_after_close: WritesAfterClose, plain, &[];
    clock_set_back_revives: ClockSetBackRevives, plain, &[];
    deleted_come_back: DeletedComeBack, plain, &[];
    forgets_deadlines: ForgetsDeadlines, plain, &[];
    loses_all_at_close: LosesAllAtClose, plain, &[];
    restarts_versions: RestartsVersions, plain, &[];
    debug_shows_the_value: DebugShowsTheValue, plain, &[];
    error_shows_the_key: ErrorShowsTheKey, plain, &[];
    logs_the_value: LogsTheValue, plain, &[];
    spoils_one_length: SpoilsOneLength, plain, &[];
}

#[test]
fn the_reference_passes_on_real_time() {
    check(Fault::None, &failures(&suite(Fault::None, true, plain)), &[]);
}

#[test]
fn lateness_is_seen_on_real_time() {
    check(Fault::ServesLate, &failures(&suite(Fault::ServesLate, true, plain)), &[]);
}
