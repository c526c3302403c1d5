#!/bin/bash
# The nightly report: runs once, and ends.
echo "report for $1 $2 from $PWD"
