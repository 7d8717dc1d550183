//! Proves the history and the cancellation test: a backend that is right passes them under faults,
//! and one that makes a mistake now and then does not.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod wrong;

use std::sync::Arc;
use std::time::Duration;

use steadfast_conformance::{Cancellation, Faults, Figures, History, Violation};

use wrong::{Fault, Wrong};

/// How often a mistake is made.
const ONE_IN: u64 = 50;

async fn run(history: History, fault: Fault, one_in: u64) -> Result<Figures, Violation> {
    let backend = Arc::new(Wrong::new(fault, one_in));
    history.run(backend, calm).await.unwrap().check()
}

/// Removes the history that was saved.
fn forget(violation: &Violation) {
    std::fs::remove_file(violation.saved().unwrap()).unwrap();
}

async fn calm(mut faults: Faults) {
    while faults.wait(1_000..1_001).await {}
}

/// Checks that the mistake is found, and that the report says this.
async fn is_found(fault: Fault, says: &str) {
    let violation = run(History::new(16, 1_000), fault, ONE_IN).await.unwrap_err();
    println!("{violation}");
    assert!(violation.to_string().contains(says), "{violation}");
    forget(&violation);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_backend_passes() {
    let figures = run(History::new(16, 1_000), Fault::None, ONE_IN).await.unwrap();
    println!("{figures}");
    assert!(figures.applied > 5_000 && figures.refused > 2_000 && figures.reads > 2_000);
    assert!(figures.unknown > 100, "dropped calls are part of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_lost_or_late_pass() {
    let figures = run(History::new(16, 1_000), Fault::LosesAnswers, 10).await.unwrap();
    println!("{figures}");
    assert!(figures.unknown > 1_000 && figures.failed > 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_update_in_ten_thousand_without_comparing_is_found() {
    let history = History::new(16, 10_000);
    let violation = run(history, Fault::WritesWithoutComparing, 10_000).await.unwrap_err();
    println!("{violation}");
    forget(&violation);
}

#[tokio::test(flavor = "multi_thread")]
async fn comparing_and_then_writing_is_found() {
    is_found(Fault::ComparesThenWrites, "no order explains it").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_read_is_found() {
    is_found(Fault::ReadsStale, "no order explains it").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_refusal_is_found() {
    is_found(Fault::RefusesWithStale, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_entry_that_comes_back_is_found() {
    is_found(Fault::ReadsDeleted, "no order explains it").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_is_confirmed_and_lost_is_found() {
    is_found(Fault::LosesPuts, "no order explains it").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_is_confirmed_and_not_made_is_found() {
    is_found(Fault::SkipsDeletes, "no order explains it").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reused_version_is_found() {
    is_found(Fault::ReusesVersions, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_was_a_success_is_found() {
    is_found(Fault::DeniesSuccess, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_without_an_answer_that_is_made_twice_is_found() {
    is_found(Fault::RepeatsUnanswered, "").await;
}

/// Empties the store now and then, and says so or not.
async fn with_losses(noted: bool) -> Result<Figures, Violation> {
    let backend = Arc::new(Wrong::new(Fault::None, 1));
    let store = Arc::clone(&backend);
    let recorded = History::new(16, 1_000).run(backend, |mut faults| async move {
        while faults.wait(5..30).await {
            let losing = noted.then(|| faults.losing());
            store.forget_all();
            drop(losing);
        }
    });
    recorded.await.unwrap().check()
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_data_is_found_unless_it_was_expected() {
    let figures = with_losses(true).await.unwrap();
    println!("{figures}");
    assert!(figures.losses > 3);
    let violation = with_losses(false).await.unwrap_err();
    println!("{violation}");
    forget(&violation);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_found() {
    let violation = run(History::new(2, 50), Fault::Hangs, 5).await.unwrap_err();
    assert!(violation.to_string().contains("a call had no answer"), "{violation}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_backend_survives_dropped_calls() {
    let cancellation = Cancellation::new(64, Duration::from_secs(1));
    let drops = cancellation.run(Arc::new(Wrong::new(Fault::None, 1))).await.unwrap();
    println!("{drops}");
    assert!(drops.dropped > 100 && drops.answered > 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_to_the_next_call_is_found() {
    let cancellation = Cancellation::new(64, Duration::from_secs(5));
    let backend = Arc::new(Wrong::new(Fault::AnswersTheNextCall, 1));
    println!("{}", cancellation.run(backend).await.unwrap_err());
}
