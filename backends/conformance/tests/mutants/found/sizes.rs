//! Mistakes in limits and in batches.

use crate::fault::Fault;
use crate::{mutants, plain};

mutants! {
    judges_condition_first: JudgesConditionFirst, plain => [
        "limits::the_size_is_judged_before_the_condition",
    ];
    refuses_the_longest_batch: RefusesTheLongestBatch, plain => [
        "batches::writes_are_made_in_order",
        "limits::a_batch_of_the_longest_length_is_made",
        "versions::they_increase_within_a_batch",
    ];
    refuses_the_longest_value: RefusesTheLongestValue, plain => [
        "limits::a_value_of_the_longest_length_is_kept",
    ];
    takes_long_batches: TakesLongBatches, plain => [
        "limits::a_batch_one_too_long_is_too_large",
        "limits::a_transaction_one_too_long_is_too_large",
        "read::get_many_over_the_limit_is_too_large",
    ];
    takes_long_values: TakesLongValues, plain => [
        "batches::a_write_that_is_too_large_fails_alone",
        "limits::a_value_one_byte_too_long_is_too_large",
        "limits::a_value_too_long_in_a_batch_is_too_large",
        "limits::a_value_too_long_in_a_transaction_is_too_large",
        "limits::the_size_is_judged_before_the_condition",
    ];
    too_large_still_deletes: TooLargeStillDeletes, plain => [
        "limits::a_value_one_byte_too_long_is_too_large",
    ];
    truncates_keys: TruncatesKeys, plain => [
        "limits::keys_of_200_bytes_are_told_apart",
    ];
    answers_reversed: AnswersReversed, plain => [
        "batches::answers_stand_in_the_order_of_the_writes",
        "batches::every_verb_may_stand_in_a_batch",
        "model::random_operations_agree_with_the_model",
        "versions::they_increase_within_a_batch",
    ];
    batch_reversed: BatchReversed, plain => [
        "batches::each_write_sees_the_one_before",
        "batches::writes_are_made_in_order",
        "model::random_operations_agree_with_the_model",
        "versions::they_increase_within_a_batch",
    ];
    batch_stops_at_refusal: BatchStopsAtRefusal, plain => [
        "batches::a_refused_write_stops_nothing",
        "batches::answers_stand_in_the_order_of_the_writes",
        "batches::each_write_sees_the_one_before",
        "model::random_operations_agree_with_the_model",
    ];
    one_too_large_fails_all: OneTooLargeFailsAll, plain => [
        "batches::a_write_that_is_too_large_fails_alone",
        "limits::a_value_too_long_in_a_batch_is_too_large",
    ];
}
