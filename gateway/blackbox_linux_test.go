package gateway

// Tests named blackbox_… do to the built gateway what a machine does to a process: they stop it, take its descriptors, reset its
// clients, and have its system calls fail. What they see is what an operator sees: /proc, the log, and the clients' bytes.
//
// Times and numbers are smaller than the fault table's; each test says by how much.
