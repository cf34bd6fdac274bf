//! One connection and the requests on it: HTTP/1.1 as far as an origin of ours and the caches before it speak it.
//!
//! Belongs here: bytes on a socket. Does not: what is asked for, and why (`viewer`).

use std::{cell::RefCell, io, net::SocketAddr, rc::Rc};

use tokio::net::TcpStream;

use super::{Fault, body::Body};

/// Bytes taken from a socket at a time. One buffer serves all connections: nobody keeps it over an await.
const CHUNK: usize = 256 * 1024;
/// A head longer than this is none.
const MAX_HEAD: usize = 16 * 1024;

/// Where a connection leads.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
}

/// The buffer all connections of a crowd read into.
#[derive(Clone)]
pub(crate) struct Scratch(Rc<RefCell<Vec<u8>>>);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(Rc::new(RefCell::new(vec![0; CHUNK])))
    }
}

/// A connection that is kept from one request to the next.
pub(crate) struct Connection {
    stream: TcpStream,
    place: Place,
    scratch: Scratch,
}

impl Connection {
    pub(crate) async fn open(place: &Place, scratch: &Scratch) -> Result<Self, Fault> {
        let stream = TcpStream::connect(place.address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            place: place.clone(),
            scratch: scratch.clone(),
        })
    }

    /// Asks for `path` and hands the body of a good answer to `take`, piece by piece, to its last byte. Anything but 200,
    /// and a body that ends early, is a fault.
    pub(crate) async fn get(
        &mut self,
        path: &str,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), Fault> {
        let Place { address } = self.place;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        self.send(request.as_bytes()).await?;
        let mut head = Vec::new();
        let mut body: Option<Body> = None;
        while !body.as_ref().is_some_and(Body::is_done) {
            self.stream.readable().await?;
            let mut scratch = self.scratch.0.borrow_mut();
            let count = match self.stream.try_read(&mut scratch) {
                Ok(0) => {
                    return Err(Fault::new(format!(
                        "the connection ended before {path} did"
                    )));
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            };
            let bytes = &scratch[..count];
            if let Some(body) = &mut body {
                body.read(bytes, &mut take)?;
                continue;
            }
            head.extend_from_slice(bytes);
            if let Some(end) = end_of_head(&head) {
                let (head, rest) = head.split_at(end);
                let body = body.insert(Body::after(head, path)?);
                body.read(rest, &mut take)?;
            } else if head.len() > MAX_HEAD {
                return Err(Fault::new(format!("the head of {path} has no end")));
            }
        }
        Ok(())
    }

    async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stream.writable().await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Where the body begins.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(end + 4)
}
