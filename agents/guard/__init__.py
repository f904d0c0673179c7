"""What an agent must not do, seen before it is done or before it gets out.

It reads what an agent wants to run; it does not contain it: that is the part of machine.sandbox. A program that was
built or fetched in an earlier step can do what it likes, and so can a library: this stops accidents, and what a model
is talked into, not a program that means harm.

rules         what is blocked, and why: the one question `judge` answers
shell         a shell's command line, taken apart as a shell would
words         what its words come to, as far as that can be seen
reading       which programs it would run, with which arguments and what on their standard input
wrappers      programs that run another: env, xargs, timeout, …
files, gits, services, inline   what each kind of program must not do
hook          the rules as a coding CLI's pre-tool hook
repetition    an agent that goes round in circles
secrets       credentials in what is about to be pushed

All but hook are pure.
"""
