/* Does nothing, for as long as it is left alone: the cheapest app there is.
 *
 *     sleeper           die of the first signal, as most programs do
 *     sleeper stubborn  ignore every signal that can be ignored */
#include <signal.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1)
		for (int number = 1; number < NSIG; number++)
			signal(number, SIG_IGN);
	for (;;)
		pause();
}
