/* A system call of the other ABI of x86-64: getpid by its i386 number. Prints what it answers, if it lives. */
#include <stdio.h>

int main(void)
{
#ifdef __x86_64__
	long answer = 20;
	__asm__ volatile("int $0x80" : "+a"(answer) : : "memory");
	printf("answered %ld\n", answer);
#endif
	return 0;
}
