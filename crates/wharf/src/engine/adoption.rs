//! One address for several engines on the queues of one link: the first gets it, checks and defends it, and tells the
//! others.

use stack::ip::routes::Route;

use super::Engine;
use crate::Cidr;
use crate::configuration::{AdoptedRoute, Adoption, Stage};
use crate::control::{Attachment, Command};

/// What an engine has of the first one's.
#[derive(Debug, Default)]
pub(super) struct Adopted {
    address: Option<Cidr>,
    routes: Vec<Route>,
}

impl Engine {
    /// The first engine: tells the others what it has come to.
    pub(super) fn pass_on(&self, stage: &Stage) {
        if self.followers.is_empty() {
            return;
        }
        let interface = self.link.as_ref().map(|attached| attached.interface);
        let routes = self.stack.routes().into_iter().filter(|route| Some(route.interface) == interface);
        let routes =
            routes.map(|Route { destination, via, metric, mtu, .. }| AdoptedRoute { destination, via, metric, mtu });
        let adoption = Adoption { stage: stage.clone(), routes: routes.collect() };
        for follower in &self.followers {
            // One that has stopped needs no address.
            let _ = follower.submit(follower.name_socket(), Command::Adopt(adoption.clone()), Attachment::None);
        }
    }

    /// Another engine: does the same.
    pub(super) fn adopt(&mut self, now: stack::Instant, adoption: Adoption) {
        let Some(interface) = self.link.as_ref().map(|attached| attached.interface) else {
            return;
        };
        let Adoption { mut stage, routes } = adoption;
        let (address, mtu) = match &stage {
            Stage::Configured(configuration) => (Some(configuration.address), Some(configuration.mtu)),
            Stage::Waiting(_) | Stage::Declined(_) | Stage::Conflict(_) | Stage::Stopped => (None, None),
        };
        for route in std::mem::take(&mut self.adopted.routes) {
            self.stack.remove_route(route);
        }
        if self.adopted.address != address {
            if let Some(old) = self.adopted.address.take() {
                self.stack.remove_address(now, interface, old.addr());
            }
            if let Some(new) = address {
                match self.stack.add_address(now, interface, new) {
                    Ok(()) => self.adopted.address = Some(new),
                    Err(error) => stage = Stage::Waiting(format!("{new} cannot be had by every engine: {error}")),
                }
            }
        }
        if let Some(mtu) = mtu {
            // It is at most the link's, which is the same for every queue.
            let _ = self.stack.set_mtu(interface, mtu);
        }
        for AdoptedRoute { destination, via, metric, mtu } in routes {
            let route = Route { destination, via, interface, metric, mtu };
            // That to the address's own subnet is there already.
            if self.stack.add_route(route).is_ok() {
                self.adopted.routes.push(route);
            }
        }
        self.progress.reach(stage);
    }
}
