#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
extern char **environ;
static int fd=-1; static struct {uintptr_t a,b;} ranges[256]; static int nr;
static atomic_flag lock=ATOMIC_FLAG_INIT; static unsigned long hashes[4096];
static int add(struct dl_phdr_info*i,size_t s,void*x){(void)s;(void)x;for(int k=0;k<i->dlpi_phnum;k++)if(i->dlpi_phdr[k].p_type==PT_LOAD&&i->dlpi_phdr[k].p_flags&PF_X&&nr<256){ranges[nr].a=i->dlpi_addr+i->dlpi_phdr[k].p_vaddr;ranges[nr].b=ranges[nr].a+i->dlpi_phdr[k].p_memsz;nr++;}return 0;}
static int early(void*p){if(!nr)return 1;for(int i=0;i<nr;i++)if((uintptr_t)p>=ranges[i].a&&(uintptr_t)p<ranges[i].b)return 1;return 0;}
static void say(char k,const char*s){if(fd<0)return;unsigned long h=5381+k;for(const char*p=s;*p;p++)h=h*33+(unsigned char)*p;h|=1;while(atomic_flag_test_and_set(&lock)){}unsigned i=h>>1&4095;int n=0;while(hashes[i]&&hashes[i]!=h&&n++<4095)i=(i+1)&4095;int known=hashes[i]==h;hashes[i]=h;atomic_flag_clear(&lock);if(known)return;char b[PATH_MAX+2];size_t l=strlen(s);if(l>PATH_MAX)l=PATH_MAX;b[0]=k;memcpy(b+1,s,l);b[l+1]=0;if(write(fd,b,l+2)<0){}}
static char*look(const char*n){size_t l=strlen(n);if(!environ)return 0;for(char**e=environ;*e;e++)if(!strncmp(*e,n,l)&&(*e)[l]=='=')return *e+l+1;return 0;}
static char exe[PATH_MAX];
__attribute__((constructor)) static void start(void){char*r=look("SCCACHE_OBSERVE");if(!r)return;dl_iterate_phdr(add,0);fd=open(r,O_WRONLY|O_APPEND|O_CLOEXEC);ssize_t k=readlink("/proc/self/exe",exe,sizeof exe-1);if(k<0)k=0;exe[k]=0;char b[PATH_MAX+32];snprintf(b,sizeof b,"%d %s",getpid(),exe);say('i',b);}
static int envs(struct dl_phdr_info*i,size_t s,void*x){(void)s;(void)x;uintptr_t a=0;for(int k=0;k<i->dlpi_phnum;k++)if(i->dlpi_phdr[k].p_type==PT_LOAD&&i->dlpi_phdr[k].p_flags&PF_X){a=i->dlpi_addr+i->dlpi_phdr[k].p_vaddr;break;}if(!a||early((void*)a))return 0;const ElfW(Dyn)*d=0;for(int k=0;k<i->dlpi_phnum;k++)if(i->dlpi_phdr[k].p_type==PT_DYNAMIC)d=(void*)(i->dlpi_addr+i->dlpi_phdr[k].p_vaddr);if(!d)return 0;const ElfW(Sym)*sy=0;const char*st=0;size_t sz=0;for(;d->d_tag;d++){if(d->d_tag==DT_STRSZ)sz=d->d_un.d_val;if(d->d_tag==DT_SYMTAB)sy=(void*)d->d_un.d_ptr;if(d->d_tag==DT_STRTAB)st=(void*)d->d_un.d_ptr;}if(!sy||!st||(uintptr_t)sy>=(uintptr_t)st)return 0;for(const ElfW(Sym)*p=sy;(uintptr_t)p<(uintptr_t)st;p++)if(p->st_shndx==SHN_UNDEF&&p->st_name<sz){const char*n=st+p->st_name;if(!strcmp(n,"environ")||!strcmp(n,"__environ")||!strcmp(n,"_environ"))say('E',i->dlpi_name);}return 0;}
__attribute__((destructor)) static void end(void){if(fd<0)return;dl_iterate_phdr(envs,0);char b[32];snprintf(b,sizeof b,"%d",getpid());say('q',b);}
char*getenv(const char*n){void*c=__builtin_return_address(0);say(early(c)?'t':'e',n);return look(n);}
char*secure_getenv(const char*n){void*c=__builtin_return_address(0);say(early(c)?'t':'e',n);return look(n);}
static void clk(void*c){if(!early(c)){Dl_info i;say('c',dladdr(c,&i)&&i.dli_fname?i.dli_fname:"?");}}
int clock_gettime(clockid_t k,struct timespec*t){static int(*real)(clockid_t,struct timespec*);if(!real)real=dlsym(RTLD_NEXT,"clock_gettime");if(k==CLOCK_REALTIME||k==CLOCK_REALTIME_COARSE||k==CLOCK_TAI)clk(__builtin_return_address(0));return real(k,t);}
