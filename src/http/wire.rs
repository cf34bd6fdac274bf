//! Heads and answers as hyper speaks of them, in HTTP/1.1 and HTTP/2 alike.
//!
//! Belongs here: translation, word by word. Does not: what is answered (`respond`).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, HOST, HeaderName, HeaderValue, IF_NONE_MATCH,
    IF_RANGE, ORIGIN, RANGE,
};
use hyper::{Request, Response, StatusCode, Version};

use crate::delivery::{Answer, Head};

/// The head of a request.
pub(super) fn head<B>(request: &Request<B>) -> Head<'_> {
    let text = |name| {
        let value: Option<&HeaderValue> = request.headers().get(name);
        value.and_then(|value| value.to_str().ok())
    };
    let uri = request.uri();
    Head {
        method: request.method().as_str(),
        path: uri.path(),
        query: uri.query(),
        host: uri
            .authority()
            .map(|authority| authority.as_str())
            .or_else(|| text(HOST)),
        origin: text(ORIGIN),
        authorization: text(AUTHORIZATION),
        range: text(RANGE),
        if_range: text(IF_RANGE),
        if_none_match: text(IF_NONE_MATCH),
        accept_encoding: text(ACCEPT_ENCODING),
    }
}

/// An answer on its way out. `version` is that of the request: HTTP/2 has no Connection header.
pub(super) fn response(answer: Answer, version: Version) -> Response<Chunks> {
    let mut response = Response::new(Chunks {
        remaining: answer.body.len(),
        chunks: answer.body.chunks.into(),
    });
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    for (name, value) in answer.headers {
        // What is in an answer was found fit for a header before; one that is not after all is better left out.
        if let Ok(value) = HeaderValue::try_from(value.as_ref()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    if answer.is_last && version < Version::HTTP_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The whole of an answer as HTTP/1.1 has it, for connections whose request is not read.
pub(super) fn unasked(answer: &Answer) -> Vec<u8> {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut text = format!("HTTP/1.1 {status}\r\nconnection: close\r\n");
    for (name, value) in &answer.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    for chunk in &answer.body.chunks {
        bytes.extend_from_slice(chunk);
    }
    bytes
}

/// The bytes of an answer, for hyper to fetch.
pub(super) struct Chunks {
    chunks: VecDeque<Bytes>,
    remaining: u64,
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = self.chunks.pop_front();
        self.remaining -= chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}
