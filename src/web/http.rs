//! As much of HTTP as one page needs.
//! Owns: what a request must look like, and every answer's head and words. Pure: bytes in, bytes out.
//! Never: keeps a connection for a second question, or reads a body.

use std::sync::Arc;

use crate::model::status::MetricsFormat;

/// A request's head is no longer than this; Prometheus' is 300 bytes.
pub const HEAD_MAX: usize = 8 << 10;
const HEADERS_MAX: usize = 64;

const PATH: &str = "/metrics";

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    Metrics { format: MetricsFormat, head_only: bool },
}

/// Why there is nothing to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    Garbage,
    TooLong,
    TooSlow,
    Method,
    Path,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub head: Vec<u8>,
    pub body: Arc<str>,
}

/// None: the head has not come to its end.
pub fn read(bytes: &[u8]) -> Option<Result<Question, Wrong>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if bytes.len() >= HEAD_MAX => return Some(Err(Wrong::TooLong)),
        Ok(httparse::Status::Partial) => return None,
        Err(httparse::Error::TooManyHeaders) => return Some(Err(Wrong::TooLong)),
        Err(_) => return Some(Err(Wrong::Garbage)),
    }
    let path = request.path.unwrap_or_default();
    if path.split('?').next() != Some(PATH) {
        return Some(Err(Wrong::Path));
    }
    let head_only = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Some(Err(Wrong::Method)),
    };
    Some(Ok(Question::Metrics { format: accepted(request.headers), head_only }))
}

/// OpenMetrics, unless only the older format is named.
fn accepted(headers: &[httparse::Header<'_>]) -> MetricsFormat {
    let accept = headers.iter().filter(|header| header.name.eq_ignore_ascii_case("accept"));
    let accept: Vec<u8> = accept.flat_map(|header| header.value).map(u8::to_ascii_lowercase).collect();
    let names = |name: &[u8]| accept.windows(name.len()).any(|window| window == name);
    if names(b"text/plain") && !names(b"application/openmetrics-text") {
        MetricsFormat::Text
    } else {
        MetricsFormat::OpenMetrics
    }
}

pub fn metrics(format: MetricsFormat, text: Arc<str>, head_only: bool) -> Answer {
    let kind = match format {
        MetricsFormat::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        MetricsFormat::Text => "text/plain; version=0.0.4; charset=utf-8",
    };
    let head = head("200 OK", kind, text.len(), "");
    Answer { head, body: if head_only { "".into() } else { text } }
}

pub fn refusal(wrong: Wrong) -> Answer {
    let (status, more, words) = match wrong {
        Wrong::Garbage => ("400 Bad Request", "", "this is no HTTP request\n"),
        Wrong::TooLong => ("431 Request Header Fields Too Large", "", "the head of the request is too long\n"),
        Wrong::TooSlow => ("408 Request Timeout", "", "the request took too long\n"),
        Wrong::Method => ("405 Method Not Allowed", "Allow: GET, HEAD\r\n", "use GET\n"),
        Wrong::Path => ("404 Not Found", "", "metrics are at /metrics\n"),
    };
    plain(status, more, words)
}

pub fn unavailable(why: &str) -> Answer {
    plain("503 Service Unavailable", "", &format!("{why}\n"))
}

fn plain(status: &str, more: &str, words: &str) -> Answer {
    Answer { head: head(status, "text/plain; charset=utf-8", words.len(), more), body: words.into() }
}

fn head(status: &str, kind: &str, length: usize, more: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{more}Connection: close\r\n\r\n")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(text: &str) -> Option<Result<Question, Wrong>> {
        read(text.as_bytes())
    }

    fn format(accept: &str) -> MetricsFormat {
        match asked(&format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{accept}\r\n")) {
            Some(Ok(Question::Metrics { format, head_only: false })) => format,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_older_format_is_for_who_knows_no_other() {
        assert_eq!(format(""), MetricsFormat::OpenMetrics);
        assert_eq!(format("Accept: */*\r\n"), MetricsFormat::OpenMetrics);
        assert_eq!(format("ACCEPT: Text/Plain\r\n"), MetricsFormat::Text);
        // What Prometheus 2.42 sends.
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
                          q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(format(&format!("Accept: {prometheus}\r\n")), MetricsFormat::OpenMetrics);
    }

    #[test]
    fn what_is_wrong_with_a_request_is_told_by_its_status() {
        assert_eq!(asked("GET /metrics HTTP/1.1\r\nHost: x\r\n"), None);
        assert_eq!(asked("GET / HTTP/1.1\r\n\r\n"), Some(Err(Wrong::Path)));
        assert_eq!(asked("GET /metrics/x HTTP/1.1\r\n\r\n"), Some(Err(Wrong::Path)));
        assert_eq!(asked("POST /metrics HTTP/1.1\r\n\r\n"), Some(Err(Wrong::Method)));
        assert_eq!(asked("\x16\x03\x01\x02\0\x01"), Some(Err(Wrong::Garbage)));
        let many = "X: y\r\n".repeat(HEADERS_MAX + 1);
        assert_eq!(asked(&format!("GET /metrics HTTP/1.1\r\n{many}\r\n")), Some(Err(Wrong::TooLong)));
        assert_eq!(asked(&format!("GET /{} ", "x".repeat(HEAD_MAX))), Some(Err(Wrong::TooLong)));
        assert!(asked("GET /metrics?x=y HTTP/1.0\r\n\r\n").is_some_and(|question| question.is_ok()));
    }

    #[test]
    fn a_head_says_how_long_the_body_is_which_it_leaves_out() {
        let whole = metrics(MetricsFormat::Text, "figures".into(), false);
        let head = metrics(MetricsFormat::Text, "figures".into(), true);
        assert_eq!((head.head, &*head.body), (whole.head.clone(), ""));
        assert!(String::from_utf8(whole.head).unwrap().contains("Content-Length: 7\r\n"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            read(&bytes);
        }
    }
}
