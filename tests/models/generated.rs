//! Runs generated histories and keeps those that failed.

use std::fmt::Debug;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestError, TestRunner};

/// How many run on the memory backend unless the environment says otherwise.
const CASES: u32 = 400;

/// Checks so many histories, of 100 that the memory backend gets, and shrinks one that fails.
pub(crate) fn check<H: Debug>(
    name: &'static str,
    percent: u32,
    histories: impl Strategy<Value = H>,
    outcome: impl Fn(H) -> Result<(), String>,
) {
    let cases =
        std::env::var("STEADFAST_MODEL_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    let config = Config {
        cases: (cases * percent / 100).max(1),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(name))),
        max_shrink_iters: 4_000,
        ..Config::default()
    };
    let run = TestRunner::new(config)
        .run(&histories, |history| outcome(history).map_err(TestCaseError::fail));
    match run {
        Ok(()) => {}
        Err(TestError::Fail(reason, history)) => {
            panic!("{reason}\nthe shortest history found: {history:#?}")
        }
        Err(error) => panic!("{error}"),
    }
}
