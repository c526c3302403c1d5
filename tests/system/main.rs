//! System tests: root, real processes, real cgroups, real `kill -9`.
//! Owns: the list of them. Never: run without root, or leave anything behind.

mod holder;
