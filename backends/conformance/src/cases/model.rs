//! Random operations, against the plain model.

mod check;
mod generate;

use std::sync::Arc;

use proptest::test_runner::{
    Config, FailurePersistence, FileFailurePersistence, RngSeed, TestCaseError, TestError,
    TestRunner,
};

use crate::case::cases;
use crate::context::{Context, random};
use crate::failure::{Failure, Outcome, fail};

cases!("model": random_operations_agree_with_the_model);

/// Beside the `Cargo.toml` of the backend, since cargo runs its tests there.
const FAILURES: &str = "proptest-regressions/conformance.txt";

async fn random_operations_agree_with_the_model(context: &mut Context) -> Outcome {
    let settings = Arc::clone(&context.settings);
    let seed = settings.model_seed.unwrap_or_else(random);
    let cases = settings.model_ops.div_ceil(generate::OPS_PER_RUN);
    let file: Box<dyn FailurePersistence> = Box::new(FileFailurePersistence::Direct(FAILURES));
    let config = Config {
        cases: u32::try_from(cases).unwrap_or(u32::MAX),
        failure_persistence: settings.keep_failures.then_some(file),
        rng_seed: RngSeed::Fixed(seed),
        max_shrink_iters: 2_000,
        ..Config::default()
    };
    let runtime = tokio::runtime::Handle::current();
    let checker = check::Checker::new(context);
    // proptest knows no futures: it gets a thread of its own, and each run of operations blocks it.
    let running = tokio::task::spawn_blocking(move || {
        TestRunner::new(config).run(&generate::operations(), |operations| {
            let outcome = runtime.block_on(checker.check(&operations));
            outcome.map_err(|Failure(text)| TestCaseError::fail(text))
        })
    });
    match running.await? {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, operations)) => fail!(
            "{reason}\nthe shortest operations found: {operations:#?}\n\
             run it again with STEADFAST_MODEL_SEED={seed}"
        ),
        Err(error) => fail!("{error}"),
    }
}
