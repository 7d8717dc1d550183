//! Mistakes under cancellation, around a close and a reopening, and in what is shown.

use crate::fault::Fault;
use crate::{mutants, plain};

mutants! {
    answers_the_next_call: AnswersTheNextCall, plain => [
        "cancellation::reads_dropped_at_every_await",
    ];
    batch_is_made_backwards: BatchIsMadeBackwards, plain => [
        "batches::each_write_sees_the_one_before",
        "batches::writes_are_made_in_order",
        "cancellation::a_batch_dropped_at_every_await",
        "model::random_operations_agree_with_the_model",
        "versions::they_increase_within_a_batch",
    ];
    breaks_when_dropped: BreaksWhenDropped, plain => [
        "cancellation::a_batch_dropped_at_every_await",
        "cancellation::a_check_dropped_at_every_await",
        "cancellation::a_scan_dropped_at_every_await",
        "cancellation::a_touch_or_delete_dropped_at_every_await",
        "cancellation::a_write_dropped_at_every_await",
    ], by_chance [
        "cancellation::calls_dropped_under_load_mix_up_no_answers",
    ];
    loses_a_dropped_write: LosesADroppedWrite, plain => [
        "cancellation::a_write_dropped_at_every_await",
    ];
    transacts_half_when_dropped: TransactsHalfWhenDropped, plain => [
        "cancellation::a_transaction_dropped_at_every_await",
    ];
    answers_after_close: AnswersAfterClose, plain => [
        "close::a_sweep_after_it_is_closed",
        "close::reads_after_it_are_closed",
    ];
    close_fails_the_second_time: CloseFailsTheSecondTime, plain => [
        "close::a_check_after_it_is_closed",
        "close::a_sweep_after_it_is_closed",
        "close::acknowledged_writes_are_there_afterwards",
        "close::closing_twice_is_fine",
        "close::every_write_before_or_during_it_gets_an_answer",
        "close::get_ready_after_it_knows_nothing",
        "close::reads_after_it_are_closed",
        "close::scans_after_it_are_closed",
        "close::transactions_after_it_are_closed",
        "close::writes_after_it_are_closed",
        "leaks::nothing_logged_shows_a_secret",
        "leaks::nothing_printed_shows_a_secret",
    ];
    ready_after_close: ReadyAfterClose, plain => [
        "close::get_ready_after_it_knows_nothing",
    ];
    writes_after_close: WritesAfterClose, plain => [
        "close::acknowledged_writes_are_there_afterwards",
        "close::writes_after_it_are_closed",
    ];
    clock_set_back_revives: ClockSetBackRevives, plain => [
        "durability::a_clock_set_back_revives_nothing",
    ];
    deleted_come_back: DeletedComeBack, plain => [
        "durability::deleted_entries_stay_deleted",
    ];
    forgets_deadlines: ForgetsDeadlines, plain => [
        "durability::deadlines_go_on_while_it_is_closed",
        "durability::entries_come_back_as_they_were",
    ];
    loses_all_at_close: LosesAllAtClose, plain => [
        "close::acknowledged_writes_are_there_afterwards",
        "damage::a_batch_makes_the_others",
        "damage::a_scan_lists_what_cannot_be_read",
        "damage::a_sweep_leaves_what_cannot_be_read",
        "damage::a_transaction_makes_nothing",
        "damage::reads_say_what_cannot_be_read",
        "damage::writes_leave_what_cannot_be_read",
        "durability::a_clock_set_back_reuses_no_version",
        "durability::deadlines_go_on_while_it_is_closed",
        "durability::entries_come_back_as_they_were",
        "durability::versions_go_on_from_where_they_were",
    ];
    restarts_versions: RestartsVersions, plain => [
        "durability::a_clock_set_back_reuses_no_version",
        "durability::entries_come_back_as_they_were",
        "durability::versions_go_on_from_where_they_were",
    ];
    debug_shows_the_value: DebugShowsTheValue, plain => [
        "leaks::nothing_printed_shows_a_secret",
    ];
    error_shows_the_key: ErrorShowsTheKey, plain => [
        "leaks::nothing_printed_shows_a_secret",
    ];
    logs_the_value: LogsTheValue, plain => [
        "leaks::nothing_logged_shows_a_secret",
    ];
    spoils_one_length: SpoilsOneLength, plain => [
        "model::random_operations_agree_with_the_model",
    ];
}
