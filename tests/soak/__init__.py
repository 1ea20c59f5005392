"""Long variants of tests: `python -m tests.soak reload --edits 100000`, `… saves --edits 3000`, `… kill --points 40`,
`… cycles --times 50`, `… discord --minutes 5 --faults 40`."""
