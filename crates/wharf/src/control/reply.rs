//! One answer to one question.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use crate::error::SocketError;
use crate::lock;
use crate::socket::wakers::WakerSet;

/// Where an answer is waited for.
pub(crate) struct Reply<T>(Arc<Slot<T>>);

/// Where it is given. Dropped without one, it says that the engine has stopped, so nobody waits for ever.
pub(crate) struct Answerer<T>(Option<Arc<Slot<T>>>);

struct Slot<T> {
    answer: Mutex<Option<Result<T, SocketError>>>,
    waiting: WakerSet,
}

impl<T> Reply<T> {
    /// Both ends of a question.
    pub(crate) fn new() -> (Self, Answerer<T>) {
        let slot = Arc::new(Slot { answer: Mutex::new(None), waiting: WakerSet::default() });
        (Self(Arc::clone(&slot)), Answerer(Some(slot)))
    }

    /// The answer, once; after that it is pending for ever.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Result<T, SocketError>> {
        self.0.waiting.poll(context, || lock(&self.0.answer).take())
    }

    /// The answer, waited for as a future.
    pub(crate) async fn answer(self) -> Result<T, SocketError> {
        std::future::poll_fn(|context| self.poll(context)).await
    }
}

impl<T> Answerer<T> {
    /// Gives the answer.
    pub(crate) fn answer(mut self, answer: Result<T, SocketError>) {
        self.put(answer);
    }

    fn put(&mut self, answer: Result<T, SocketError>) {
        if let Some(slot) = self.0.take() {
            *lock(&slot.answer) = Some(answer);
            slot.waiting.wake();
        }
    }
}

impl<T> Drop for Answerer<T> {
    fn drop(&mut self) {
        self.put(Err(SocketError::EngineStopped));
    }
}
