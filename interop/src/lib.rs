//! Tests against real peers in network namespaces of their own.
