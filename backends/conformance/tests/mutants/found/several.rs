//! Mistakes in transactions and in scans.

use crate::fault::Fault;
use crate::{mutants, no_scan, no_transactions, one_group, plain};

mutants! {
    applies_half_of_a_refused_one: AppliesHalfOfARefusedOne, plain => [
        "damage::a_transaction_makes_nothing",
        "model::random_operations_agree_with_the_model",
        "transactions::a_refused_one_changes_nothing",
        "transactions::a_touch_of_an_absent_key_refuses_all",
        "transactions::one_of_64_racing_on_shared_keys_wins",
    ], by_chance [
        "transactions::transfers_of_64_tasks_are_serial",
    ];
    blames_the_first: BlamesTheFirst, plain => [
        "model::random_operations_agree_with_the_model",
        "transactions::a_refusal_names_the_write_and_what_is_there",
        "transactions::a_refused_one_changes_nothing",
        "transactions::a_touch_of_an_absent_key_refuses_all",
        "transactions::an_expired_entry_is_absent",
        "transactions::one_of_checks_only_changes_nothing",
    ];
    forgets_after_the_fourth: ForgetsAfterTheFourth, plain => [
        "cancellation::a_transaction_dropped_at_every_await",
        "transactions::a_refused_one_changes_nothing",
        "transactions::all_writes_are_made",
        "transactions::every_verb_may_stand_in_one",
    ];
    groups_mix: GroupsMix, one_group => [
        "transactions::keys_of_two_groups_are_invalid",
    ];
    needs_one_group: NeedsOneGroup, plain => [
        "transactions::keys_of_two_groups_change_together",
    ];
    snapshot_is_torn: SnapshotIsTorn, plain => [
        "transactions::transfers_of_64_tasks_are_serial",
    ];
    spreads_groups: SpreadsGroups, plain => [
        "transactions::a_group_has_one_endpoint",
    ];
    takes_a_key_twice: TakesAKeyTwice, plain => [
        "model::random_operations_agree_with_the_model",
        "transactions::a_key_twice_is_invalid",
    ];
    transacts_anyway: TransactsAnyway, no_transactions => [
        "model::random_operations_agree_with_the_model",
        "transactions::one_is_unsupported",
    ];
    cursor_is_an_offset: CursorIsAnOffset, plain => [
        "scan::a_scan_ends_though_its_cursor_was_deleted",
    ], by_chance [
        "scan::every_stable_key_is_seen_while_writers_run",
    ];
    drops_keys_at_page_ends: DropsKeysAtPageEnds, plain => [
        "model::random_operations_agree_with_the_model",
        "scan::a_scan_ends_though_its_cursor_was_deleted",
        "scan::all_pages_together_are_all_keys",
        "scan::every_stable_key_is_seen_while_writers_run",
        "scan::namespaces_count_by_whole_segments",
    ];
    ignores_the_page_limit: IgnoresThePageLimit, plain => [
        "scan::pages_are_about_as_long_as_asked",
    ];
    lists_a_marker: ListsAMarker, plain => [
        "cancellation::a_scan_dropped_at_every_await",
        "model::random_operations_agree_with_the_model",
        "scan::all_pages_together_are_all_keys",
        "scan::an_empty_namespace_has_no_keys",
        "scan::expired_and_deleted_keys_are_not_listed",
        "scan::namespaces_count_by_whole_segments",
    ];
    lists_the_expired: ListsTheExpired, plain => [
        "damage::a_scan_lists_what_cannot_be_read",
        "model::random_operations_agree_with_the_model",
        "scan::expired_and_deleted_keys_are_not_listed",
    ];
    prefix_is_no_segment: PrefixIsNoSegment, plain => [
        "damage::a_scan_lists_what_cannot_be_read",
        "model::random_operations_agree_with_the_model",
        "scan::namespaces_count_by_whole_segments",
    ];
    scans_anyway: ScansAnyway, no_scan => [
        "scan::it_is_unsupported",
    ];
    takes_any_cursor: TakesAnyCursor, plain => [
        "scan::a_foreign_cursor_is_invalid",
    ];
}
