//! Conditional requests (RFC 9110, section 13).

use poem::http::{HeaderMap, StatusCode, header};
use poem::{IntoResponse as _, Response};
use steadfast::http::{EntityTag, Problem};

use crate::problem;

const TAG: EntityTag = EntityTag::of_version(41);

/// Section 13.2.1: the conditions of a request count only where its answer is a success.
#[tokio::test]
async fn a_condition_hides_no_answer_but_a_success() {
    for known in ["\"41\"", "*"] {
        let request = HeaderMap::from_iter([(header::IF_NONE_MATCH, known.parse().unwrap())]);
        for status in [200, 203, 204, 206].map(|status| StatusCode::from_u16(status).unwrap()) {
            let answer = TAG.answer(&request, Response::builder().status(status).finish());
            assert_eq!(answer.status(), StatusCode::NOT_MODIFIED, "{status}");
            assert_eq!(answer.header(header::ETAG), Some("\"41\""), "{status}");
        }
        for status in [303, 307, 401, 403, 404, 410, 412, 429, 500, 503] {
            let refusal = Problem::new(StatusCode::from_u16(status).unwrap(), "not now");
            let answer = TAG.answer(&request, refusal.into_response());
            assert_eq!((answer.status().as_u16(), answer.header(header::ETAG)), (status, None));
            assert_eq!(problem(answer).await["detail"], "not now", "{status}");
        }
    }
}
